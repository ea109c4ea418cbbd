"""What a reader of a format gives: a file, its spaces and facts, and its episodes one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium import spaces

from framework.datasets.faults import Faults

OUR_NAMES = {key: key for key in ("obs", "action", "reward", "terminated", "truncated")}


class Item(NamedTuple):
    """An episode: obs [T + 1, ...], the others [T, ...]; `at` and `names` are what its file calls it and its keys."""

    at: str
    episode: dict[str, Any]
    names: dict[str, str] = OUR_NAMES

    def named(self, key: str) -> str:
        """The file's name of `obs/image`."""
        head, *rest = key.split("/")
        return "/".join([self.names[head], *rest])


@dataclass
class Source:
    """One file of a dataset. `read` gives its whole episodes, and notes what is wrong with the rest."""

    file: Path
    format: str
    read: Callable[[Faults], Iterator[Item]]
    obs_space: spaces.Space[Any] | None = None
    action_space: spaces.Space[Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

"""`dataset.json`: what is known of data beside the data, and the hash of their contents."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError, first_line
from framework.data.buffers import learning_dtype
from framework.datasets.columns import STEP_COLUMNS
from framework.datasets.faults import leaves
from framework.datasets.space_json import space_from_json, space_to_json
from framework.runs.files import atomic_write, read_text

FILE, VERSION = "dataset.json", 1
NUMBER = (int, float)
KINDS: dict[str, Any] = {  # of what is used
    "env_id": str, "entry_point": str, "kwargs": dict, "wrappers": list, "memory_inputs": list, "max_step": int,
    "policy": dict, "sha256": str, "ref_min_score": NUMBER, "ref_max_score": NUMBER,
}  # fmt: skip
OF_CONTENTS = ("episodes", "steps", "mean_return", "min_return", "max_return", "sha256")


class Counts:
    """Steps and returns of episodes, taken in one after the other."""

    def __init__(self) -> None:
        self.steps = 0
        self.returns: list[float] = []

    def add(self, episode: dict[str, Any]) -> None:
        """One episode."""
        self.steps += len(episode["reward"])
        self.returns.append(float(np.sum(episode["reward"], dtype=np.float64)))


class Contents(Counts):
    """Counts, returns and hash of episodes, taken in one after the other.

    The hash is of the values as they are learned from (floats as float32), whatever file they come from: a chain over
    the episodes, each with the names, types, shapes and bytes of its columns.
    """

    def __init__(self) -> None:
        super().__init__()
        self.digest = b""

    def add(self, episode: dict[str, Any]) -> None:
        super().add(episode)
        own = hashlib.sha256(self.digest)
        for key in ("obs", *STEP_COLUMNS):
            for name, leaf in sorted(leaves(episode[key], key), key=lambda pair: pair[0]):
                values = np.ascontiguousarray(leaf, learning_dtype(leaf.dtype).newbyteorder("<"))
                own.update(f"{name} {values.dtype.str} {values.shape}".encode())
                own.update(values.data if values.size else b"")
        self.digest = own.digest()

    def facts(self) -> dict[str, Any]:
        """Under their names in dataset.json."""
        returns = self.returns or [float("nan")]
        numbers = (float(np.mean(returns)), min(returns), max(returns))
        rounded = (round(number, 4) if np.isfinite(number) else None for number in numbers)
        values = (len(self.returns), self.steps, *rounded, self.digest.hex())
        return dict(zip(OF_CONTENTS, values, strict=True))


def write_facts(
    path: Path, facts: dict[str, Any], obs_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> None:
    """Write a dataset.json, `facts` and the two spaces."""
    own = {"format": VERSION, **facts}
    for key, space in (("obs_space", obs_space), ("action_space", action_space)):
        try:
            own[key] = space_to_json(space)
        except TypeError:  # such as Text: it can be collected, not learned from
            own[key] = None
    atomic_write(path, (json.dumps(own, indent=2, default=str) + "\n").encode())


def read_facts(path: Path) -> tuple[dict[str, Any], spaces.Space[Any] | None, spaces.Space[Any] | None]:
    """The facts and spaces of a dataset.json; UserError for one that is damaged or of a later version."""
    try:
        facts = json.loads(read_text(path))
        found = [None if facts[key] is None else space_from_json(facts[key]) for key in ("obs_space", "action_space")]
        if facts["format"] > VERSION:
            raise UserError(f"{path} has format {facts['format']}; this version of Joyride reads up to {VERSION}")
        check_facts(facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else first_line(error)
        raise UserError(f"{path} is damaged: {reason}; delete it to have the spaces guessed from the data") from None
    return {key: value for key, value in facts.items() if key not in ("obs_space", "action_space")}, found[0], found[1]


def check_facts(facts: dict[str, Any]) -> None:
    """Raise TypeError for a fact of a type that nothing can be done with; null is none."""
    for name, kinds in KINDS.items():
        value = facts.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise TypeError(f"{name} is {value!r}")


def facts_beside(file: Path) -> Path | None:
    """The dataset.json of a data file: in its folder, or in that of its run; None if there is none."""
    folder = file.absolute().parent
    places = [folder]
    for name in ("data", "results"):
        if folder.name == name:
            folder = folder.parent
            places.append(folder)
    return next((place / FILE for place in places if (place / FILE).is_file()), None)

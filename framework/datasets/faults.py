"""What is wrong with data, each fault as a line: file, episode, key. The linter shows all, training the first few."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import Tree, tree_map
from envs.actions import slack
from framework.data.frames import other_pixels
from framework.datasets.columns import STEP_COLUMNS

SHOWN = 5  # faults that a run's refusal shows
CHANNELS = (1, 3, 4)
Fault = tuple[str, str]  # key, what is wrong


class Faults:
    """Collects lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, file: Path, text: str, key: str | None = None, at: str | None = None) -> None:
        """A fault of a file; `at` is `episode 3`, or what else its items are called."""
        self.add(place(file, text, key, at))

    def add(self, line: str) -> None:
        """A fault whose line is written already."""
        self.lines.append(line)

    def tell(self, how_to_see_all: str) -> None:
        """Raise UserError with the first few, if there are any."""
        if self.lines:
            more = len(self.lines) - SHOWN
            rest = [f"... and {more} more; all: {how_to_see_all}"] if more > 0 else []
            raise UserError("\n".join([*self.lines[:SHOWN], *rest]))


def place(file: Path, text: str, key: str | None = None, at: str | None = None) -> str:
    """The line of a fault."""
    return f"{', '.join([str(file) + (f': {at}' if at else ''), *([repr(key)] if key else [])])}: {text}"


def leaves(tree: Tree, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a tree with their names: `obs`, or `obs/image` of a part."""
    if isinstance(tree, dict):
        for key, part in tree.items():
            yield from leaves(part, f"{name}/{key}")
    elif isinstance(tree, tuple):
        for index, part in enumerate(tree):
            yield from leaves(part, f"{name}/{index}")
    else:
        yield name, tree


class EpisodeCheck:
    """Looks for faults in episodes; all must have the first one's keys and shapes, or those of the spaces."""

    def __init__(self, obs_space: Any = None, action_space: Any = None, limit: int | None = None):
        self.action_space, self.limit = action_space, limit
        self.shapes: dict[str, tuple[int, ...]] | None = None  # of each leaf, without time
        self.dtypes: dict[str, np.dtype[Any]] = {}  # of each leaf, as the first episode has it
        if obs_space is not None and action_space is not None:
            examples = {"obs": _example(obs_space), "action": _example(action_space)}
            self.shapes = {name: leaf.shape for key in examples for name, leaf in leaves(examples[key], key)}
        self.before = "the space" if self.shapes is not None else "the first episode"

    def faults(self, episode: dict[str, Any]) -> list[Fault]:
        """Key and text of each fault; none is left out because of another, but a leaf of a wrong shape has only that.

        The lengths of the columns fit already: obs [T + 1, ...], the others [T, ...].
        """
        found = list(_ends(episode, self.limit))
        named = {name: leaf for key in ("obs", "action") for name, leaf in leaves(episode[key], key)}
        shapes = {name: leaf.shape[1:] for name, leaf in named.items()}
        if self.shapes is None:
            self.shapes = shapes
        wrong = dict(_other_shapes(shapes, self.shapes, self.before))
        found += wrong.items()
        if not any(leaf.size for name, leaf in named.items() if name.startswith("obs")):
            found.append(("obs", "there is no number in it"))
        for name, leaf in (*named.items(), ("reward", episode["reward"])):
            if leaf.dtype.kind not in "biuf":
                found.append((name, f"dtype {leaf.dtype}: only numbers can be learned from"))
            elif leaf.dtype.kind == "f" and not _fit(leaf).all():
                what = "not finite" if not np.isfinite(leaf).all() else "too large for float32"
                found.append((name, f"{_first(~_fit(leaf), leaf)}, which is {what}"))
            elif name not in wrong and name.startswith("action") and self.action_space is not None:
                found += outside(leaf, part_of(self.action_space, name), name)
            elif name.startswith("obs") and name not in wrong:
                unlike = other_pixels(leaf.dtype, self.dtypes.setdefault(name, leaf.dtype), leaf.shape[1:])
                found += [(name, unlike)] if unlike else []
        return found


def _example(space: spaces.Space[Any]) -> Tree:
    """Zeros in the shape of a space, as a tree of plain dicts and tuples."""
    if isinstance(space, spaces.Dict):
        return {key: _example(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_example(part) for part in space.spaces)
    return np.broadcast_to(np.int8(0), space.shape or ())


def part_of(space: spaces.Space[Any], name: str) -> spaces.Space[Any]:
    """The part of a space that `leaves` calls by this name."""
    for key in name.split("/")[1:]:
        space = space[key] if isinstance(space, spaces.Dict) else space[int(key)]  # type: ignore[index]
    return space


def _ends(episode: dict[str, Any], limit: int | None) -> Iterator[Fault]:
    """Faults in the columns of one number a step, and in how the episode ends."""
    steps = len(episode["reward"])
    for key in STEP_COLUMNS[1:]:
        if not isinstance(episode[key], np.ndarray) or episode[key].shape != (steps,):
            yield key, f"shape {list(np.shape(episode[key]))}: one number a step is needed, [{steps}]"
            return
    if not steps:
        yield "reward", "the episode has no steps"
        return
    for key in ("terminated", "truncated"):
        flags = episode[key]
        if flags.dtype.kind not in "biuf" or (flags.dtype.kind != "b" and not np.isin(flags, (0, 1)).all()):
            yield key, f"{_first(~np.isin(flags, (0, 1)), flags)}; only true and false are allowed"
        elif flags[:-1].any():
            at = int(np.flatnonzero(flags[:-1])[0])
            yield key, f"true at step {at} of {steps}: the episode goes on behind its end"
    if steps == limit and episode["terminated"][-1] and not episode["truncated"][-1]:
        yield "terminated", f"true at step {steps - 1}, where the time limit of {limit} steps cut it: that is truncated"


def _other_shapes(
    shapes: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]], before: str
) -> Iterator[Fault]:
    for name in expected.keys() | shapes.keys():
        one, other = shapes.get(name), expected.get(name)
        if one is None or other is None:
            yield name, f"{'is missing' if one is None else 'is new'}: {before} has {', '.join(expected)}"
        elif one != other:
            turned = len(one) == 3 and len(other) == 3 and sorted(one) == sorted(other)
            yield name, f"shape {list(one)}, but {before} has {list(other)}" + _layout(one, other) * turned


def _layout(one: tuple[int, ...], other: tuple[int, ...]) -> str:
    kinds = [is_chw(shape) for shape in (one, other)]
    if kinds[0] == kinds[1]:
        return ""
    return f" ({'CHW' if kinds[0] else 'HWC'} instead of {'CHW' if kinds[1] else 'HWC'})"


def is_chw(shape: tuple[int, ...]) -> bool:
    """Whether an image's shape is channels first."""
    return len(shape) == 3 and shape[0] in CHANNELS and shape[2] not in CHANNELS


def _fit(values: np.ndarray) -> np.ndarray:
    """Which floats are finite as they are learned from."""
    with np.errstate(over="ignore"):
        return np.isfinite(values.astype(np.float32, copy=False))


def _first(where: np.ndarray, leaf: np.ndarray) -> str:
    """`nan at step 3` of the first place that is marked."""
    at = tuple(int(index) for index in np.argwhere(where)[0])
    inside = f" {list(at[1:])}" if len(at) > 1 else ""
    return f"{leaf[at]} at step {at[0]}{inside}"


def outside(action: np.ndarray, space: spaces.Space[Any], name: str) -> Iterator[Fault]:
    """Faults of actions [T, ...] that the space does not have."""
    if isinstance(space, spaces.Box):
        low, high, more = space.low.astype(np.float64), space.high.astype(np.float64), slack(space)
        where, bounds = (action < low - more) | (action > high + more), f"{low.min():g} to {high.max():g}"
    else:
        if action.dtype.kind == "f" and (action != np.round(action)).any():
            yield name, f"{_first(action != np.round(action), action)}: actions of {space} are whole numbers"
            return
        first: Any = np.asarray(getattr(space, "start", 0))
        if isinstance(space, spaces.MultiDiscrete):
            number: Any = space.nvec
        else:
            number = 2 if isinstance(space, spaces.MultiBinary) else space.n  # type: ignore[attr-defined]
        where, bounds = (action < first) | (action >= first + number), str(space)
    if where.any():
        yield name, f"{_first(where, action)} is outside of {bounds}"


def cut_off(episode: dict[str, Any]) -> dict[str, Any]:
    """The episode; where it ends with neither flag it was cut, which is truncated."""
    if len(episode["reward"]) and not (episode["terminated"][-1] or episode["truncated"][-1]):
        truncated = np.array(episode["truncated"], bool)
        truncated[-1] = True
        return {**episode, "truncated": truncated}
    return episode


def as_numbers(episode: dict[str, Any]) -> dict[str, Any]:
    """The episode with flags as bool and all columns as arrays."""
    flags = {key: np.asarray(episode[key]).astype(bool) for key in ("terminated", "truncated")}
    return {**tree_map(np.asarray, {key: episode[key] for key in ("obs", *STEP_COLUMNS)}), **flags}

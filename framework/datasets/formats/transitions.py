"""A pickled list of transitions, as recorders of demonstrations write it: a dict for each step.

`observations`, `actions`, `next_observations`, `rewards`, `masks` (1 - terminated) and `dones`. Images are HWC. An
episode ends with `dones`, with `truncated` (which few recorders write), or where the next transition's observation is
not this one's next: there it was cut.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from algos.common.errors import UserError
from algos.common.trees import tree_leaves, tree_map
from framework.data.frames import other_pixels
from framework.datasets.faults import Faults, is_chw, leaves, place
from framework.datasets.source import Item
from framework.runs.trajectories import plain_arrays

KEYS = ("observations", "actions", "next_observations", "rewards", "masks", "dones")
NAMES = {"obs": "observations", "action": "actions", "reward": "rewards", "terminated": "masks", "truncated": "dones"}
CUT = ("truncateds", "truncated", "truncations")  # the key of some recorders that says that a limit ended the episode


class _Example(NamedTuple):
    """The first good transition: what the others must be like."""

    leaves: dict[str, np.ndarray]
    form: Any


def are_these(content: list[Any]) -> bool:
    """Whether a list holds transitions."""
    return any(isinstance(item, dict) and {"observations", "actions", "rewards"} & item.keys() for item in content[:10])


def episodes(path: Path, content: list[Any], faults: Faults) -> Iterator[Item]:
    """The episodes of a list that `load_plain` has read, which is emptied; one with a fault in it is left out."""
    running: list[dict[str, Any]] = []
    first: _Example | None = None
    number, whole = 0, True

    def ended(index: int) -> Item:
        return Item(f"episode {number} (transitions {index - len(running)} to {index - 1})", _joined(running), NAMES)

    for index in range(len(content)):
        raw, content[index] = content[index], None
        try:
            step = _checked(raw, f"{path}: transition {index}")
            found = list(_faults(step, first))
        except UserError as error:
            faults.add(str(error))
            step, found = {}, []
        for key, text in found:
            faults.note(path, text, key, f"transition {index}")
        good = bool(step) and not found
        first = first or (_Example(dict(_named(step)), _form(step)) if good else None)
        if running and good and not _follows(running[-1], step):
            if whole:
                yield ended(index)
            running, number, whole = [], number + 1, True
        whole = whole and good
        if good:
            running.append(step)
        if step and (step["cut"] or bool(step["dones"])):
            if whole:
                yield ended(index + 1)
            running, number, whole = [], number + 1, True
    if running and whole:
        yield ended(len(content))


def _checked(raw: Any, where: str) -> dict[str, Any]:
    """A transition with arrays; UserError for one that lacks a key, or holds anything but numbers."""
    if not isinstance(raw, dict):
        raise UserError(f"{where} is a {type(raw).__name__} instead of a dict with {', '.join(KEYS)}")
    missing = [key for key in KEYS if key not in raw]
    if missing:
        raise UserError(f"{where} has no {missing[0]!r}; needed are {', '.join(KEYS)}")
    step = {key: tree_map(np.asarray, plain_arrays(raw[key], f"{where}, {key!r}")) for key in KEYS}
    for name, leaf in _named(step):
        if leaf.dtype.kind not in "biuf":
            raise UserError(place(Path(where), f"dtype {leaf.dtype}: only numbers can be learned from", name))
    for key in ("rewards", "masks", "dones"):
        if isinstance(step[key], np.ndarray) and step[key].size == 1:
            step[key] = step[key].reshape(())
        elif not isinstance(step[key], np.ndarray) or step[key].shape:
            raise UserError(f"{where}, {key!r}: one number is needed")
    cut = next((key for key in CUT if key in raw), None)
    step["cut"] = bool(np.any(plain_arrays(raw[cut], f"{where}, {cut!r}"))) if cut else False
    return step


def _named(step: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    return [pair for key in KEYS for pair in leaves(step[key], key)]


def _faults(step: dict[str, Any], first: _Example | None) -> Iterator[tuple[str, str]]:
    named = _named(step)
    if first is not None and first.leaves.keys() != {name for name, _ in named}:
        name = min(first.leaves.keys() ^ {name for name, _ in named})
        yield name, "is missing, but the transitions before have it" if name in first.leaves else "is new"
        return
    other = [key for key in KEYS if first is not None and _form(step[key]) != first.form[key]]
    if other:
        yield other[0], "is of another form than before: arrays, dicts and tuples stay what they are"
        return
    for name, leaf in named:
        before = leaf if first is None else first.leaves[name]
        expected = before.shape
        if leaf.shape != expected:
            yield (
                name,
                f"shape {list(leaf.shape)}, before it was {list(expected)}"
                + (" (CHW instead of HWC)" if is_chw(leaf.shape) and not is_chw(expected) else ""),
            )
        elif leaf.dtype == np.uint8 and is_chw(leaf.shape):
            yield name, f"shape {list(leaf.shape)} is CHW (channels first); images of this format are HWC"
        elif leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            yield name, f"{leaf[~np.isfinite(leaf)][0]}, which is not finite"
        elif unlike := other_pixels(leaf.dtype, before.dtype, leaf.shape):
            yield name, unlike
    for key in ("observations", "next_observations"):
        own = {name.partition("/")[2]: leaf.shape for name, leaf in named if name.partition("/")[0] == key}
        if key == "observations":
            shapes = own
        elif own != shapes:
            yield key, f"shapes {own}, but those of observations are {shapes}"
        elif _form(step[key]) != _form(step["observations"]):
            yield key, "is of another form than observations: arrays, dicts and tuples stay what they are"
    yield from _faults_of_flags(step)


def _form(tree: Any) -> Any:
    """The dicts and tuples of a tree."""
    if isinstance(tree, dict):
        return {key: _form(part) for key, part in tree.items()}
    return tuple(map(_form, tree)) if isinstance(tree, tuple) else None


def _faults_of_flags(step: dict[str, Any]) -> Iterator[tuple[str, str]]:
    mask, done = float(step["masks"]), float(step["dones"])
    if mask not in (0.0, 1.0):
        yield "masks", f"{mask:g}; masks are 0 (terminated) or 1"
    elif done not in (0.0, 1.0):
        yield "dones", f"{done:g}; dones are true or false"
    elif mask == 0 and not done:
        yield "masks", "0 says terminated, but dones is false"
    elif mask == 1 and done and not step["cut"]:
        yield (
            "masks",
            (
                "1, but dones is true: masks are 1 - dones; of an episode that was only cut, dones is false (or"
                " truncated is true)"
            ),
        )


def _follows(before: dict[str, Any], step: dict[str, Any]) -> bool:
    pairs = zip(tree_leaves(before["next_observations"]), tree_leaves(step["observations"]), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def _joined(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Transitions of one episode as its columns."""
    observations = [*(step["observations"] for step in steps), steps[-1]["next_observations"]]
    terminated = np.array([step["masks"] == 0 for step in steps])
    truncated = np.zeros(len(steps), bool)
    truncated[-1] = steps[-1]["cut"] or not terminated[-1]
    return {
        "obs": tree_map(lambda *leaves: np.stack(leaves), *observations),
        "action": tree_map(lambda *leaves: np.stack(leaves), *(step["actions"] for step in steps)),
        "reward": np.array([step["rewards"] for step in steps]),
        "terminated": terminated,
        "truncated": truncated,
    }

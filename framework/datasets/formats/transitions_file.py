"""Writes episodes as files of transitions (see transitions.py): those that succeeded, and those that did not."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import Tree, tree_map
from framework.datasets.faults import is_chw
from framework.runs.files import writing
from framework.runs.trajectories import START, STOP, SUCCESS, pickled_item

FILES = {True: "success_demo.pkl", False: "failure_demo.pkl"}  # by whether the episode succeeded


def check_images(space: spaces.Space[Any], name: str = "observation") -> None:
    """Raise UserError for observations with images that are channels first: those of this format are HWC."""
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            check_images(part, f"observation {key!r}")
    elif isinstance(space, spaces.Box) and space.dtype == np.uint8 and is_chw(space.shape):
        raise UserError(
            f"general_cfg.traj_format=transitions: images are HWC there, but {name} is {list(space.shape)}, channels"
            " first; leave out the wrapper that turns it, or use traj_format=pkl"
        )


def write(folder: Path, episodes: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Write both files of a folder anew; returns how many episodes each has. A file without episodes is not there.

    Both are whole before either takes its name. UserError where one cannot be written.
    """
    counts = dict.fromkeys(FILES.values(), 0)
    making = {name: folder / f".{name}.tmp" for name in counts}
    try:
        with writing(folder), ExitStack() as stack:
            _fill({name: stack.enter_context(open(path, "wb")) for name, path in making.items()}, episodes, counts)
        for name, path in making.items():
            with writing(folder / name):
                if counts[name]:
                    os.replace(path, folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
    finally:
        for path in making.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return counts


def _fill(files: dict[str, BinaryIO], episodes: Iterable[dict[str, Any]], counts: dict[str, int]) -> None:
    """Write each episode to its file, one step at a time, and count it."""
    for file in files.values():
        file.write(START)
    for episode in episodes:
        name = FILES[succeeded(episode)]
        for step in _transitions(episode):
            files[name].write(pickled_item(step, first=files[name].tell() == len(START)))
        counts[name] += 1
    for file in files.values():
        file.write(STOP)
        file.flush()
        os.fsync(file.fileno())


def succeeded(episode: dict[str, Any]) -> bool:
    """What the environment told of an episode; where it told nothing, whether the return is above 0."""
    told = episode.get(SUCCESS)
    return bool(np.sum(episode["reward"]) > 0) if told is None else bool(told)


def _transitions(episode: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of an episode. Arrays are those of the episode, without its first axis."""

    def at(tree: Tree, step: int) -> Tree:
        return tree_map(lambda leaf: np.asarray(leaf[step]), tree)

    for step, reward in enumerate(episode["reward"].tolist()):
        terminated = bool(episode["terminated"][step])
        yield {
            "observations": at(episode["obs"], step),
            "actions": at(episode["action"], step),
            "next_observations": at(episode["obs"], step + 1),
            "rewards": reward,
            "masks": 1.0 - terminated,
            "dones": terminated,
            **({"truncated": True} if episode["truncated"][step] else {}),
        }

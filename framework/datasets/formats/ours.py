"""Episodes as `results/trajs_<n>.pkl` has them (framework/runs/trajectories.py)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework.datasets.faults import Faults
from framework.datasets.source import Item
from framework.runs.trajectories import checked_episode


def episodes(path: Path, content: list[Any], faults: Faults) -> Iterator[Item]:
    """The episodes of a list that `load_plain` has read, which is emptied."""
    for index in range(len(content)):
        item, content[index] = content[index], None  # what has been taken over is freed
        at = f"episode {index}"
        try:
            yield Item(at, checked_episode(item, f"{path}: {at}"))
        except UserError as error:
            faults.add(str(error))

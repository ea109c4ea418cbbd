"""Loads the dataset that a setting names."""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.trees import Tree, tree_map
from framework.datasets.columns import Dataset, joined
from framework.runs.run_search import find_run
from framework.runs.trajectories import load_trajectories


def load_dataset(words: str | list[str], tasks_dir: str, key: str = "algo_cfg.dataset") -> Dataset:
    """The episodes that `words` name: one or several of a run's name, a path, a glob; of any known format.

    Raises UserError, with the key, for what is not there, is damaged, or does not fit the rest.
    """
    files = [path for word in ([words] if isinstance(words, str) else words) for path in _files(word, tasks_dir, key)]
    columns, first = joined(episode for path in files for episode in load_trajectories(path))
    obs_space, action_space = _space_of(columns["obs"]), _space_of(columns["action"])
    return Dataset(columns, first, obs_space, action_space, {}, files)


def _files(word: str, tasks_dir: str, key: str) -> list[Path]:
    path = Path(word)
    if path.is_file():
        return [path]
    return sorted((find_run(word, tasks_dir, key) / "results").glob("trajs_*.pkl"))


def _space_of(column: Tree) -> Any:
    """A space that holds the rows of a column."""
    if isinstance(column, dict):
        return spaces.Dict({name: _space_of(part) for name, part in column.items()})
    if column.dtype.kind in "iu" and column.ndim == 1:
        return spaces.Discrete(int(column.max()) + 1)
    low, high = tree_map(lambda leaf: leaf.min(0), column), tree_map(lambda leaf: leaf.max(0), column)
    return spaces.Box(low, high, dtype=np.dtype(column.dtype).type)

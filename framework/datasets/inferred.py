"""Spaces guessed from data, for files that do not tell theirs."""

from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.trees import Tree


def obs_space_of(column: Tree) -> spaces.Space[Any]:
    """A space that holds the rows of a column of observations; numbers with a fraction have no bounds."""
    if isinstance(column, dict):
        return spaces.Dict({name: obs_space_of(part) for name, part in column.items()})
    if isinstance(column, tuple):
        return spaces.Tuple([obs_space_of(part) for part in column])
    kind, shape = column.dtype.kind, column.shape[1:]
    if kind == "f":
        return spaces.Box(-np.inf, np.inf, shape, np.float32)
    if kind == "b":
        return spaces.Box(0, 1, shape, np.int8)
    if column.ndim == 1 and column.min() >= 0:
        return spaces.Discrete(int(column.max()) + 1)
    bounds = np.iinfo(column.dtype)
    return spaces.Box(bounds.min, bounds.max, shape, column.dtype.type)


def action_space_of(column: Tree) -> spaces.Space[Any]:
    """A space that holds the rows of a column of actions; a Box has the least and the largest of each number."""
    if isinstance(column, dict):
        return spaces.Dict({name: action_space_of(part) for name, part in column.items()})
    if isinstance(column, tuple):
        return spaces.Tuple([action_space_of(part) for part in column])
    if column.dtype.kind == "b" and column.ndim > 1:
        return spaces.MultiBinary(column.shape[1:])
    if column.dtype.kind in "iub" and column.min() >= 0:
        most = column.max(0).astype(np.int64) + 1
        return spaces.Discrete(int(most)) if column.ndim == 1 else spaces.MultiDiscrete(most)
    return spaces.Box(column.min(0), column.max(0), dtype=column.dtype.type)

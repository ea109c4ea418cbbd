"""Shared by vectors that step all rows at once: infos of a step that ended episodes, and the seed of one stream."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from algos.common.trees import Tree, tree_map


def ended(obs: Tree, done: np.ndarray, last: dict[str, Any] | None = None) -> dict[str, Any]:
    """Infos of a step: the rows of `obs` [N, ...] whose episodes are `done` [N], by row, and what was told `last`."""
    final = np.full(len(done), None, dtype=object)
    for row in np.flatnonzero(done):
        final[row] = tree_map(lambda column: np.array(column[row]), obs)  # noqa: B023  # called at once
    return {"final_obs": final, "_final_obs": done, "final_info": last or {}, "_final_info": done.copy()}


def first_seed(seed: int | Sequence[int | None] | None) -> int | None:
    """The seed of the stream that serves all rows: of a list the first one."""
    first = seed if seed is None or isinstance(seed, (int, np.integer)) else seed[0]
    return None if first is None else int(first)

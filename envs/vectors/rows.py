"""Shared by vectors that step all rows at once: infos of a step that ended episodes, and the seed of one stream."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.trees import Tree, tree_map

_RESERVED = frozenset({"final_obs", "final_info", "_final_obs", "_final_info"})


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


def without_reserved(info: dict[str, Any]) -> dict[str, Any]:
    """An info without the keys by which vectors tell how an episode ended."""
    if _RESERVED.isdisjoint(info):
        return info
    return {key: value for key, value in info.items() if key not in _RESERVED}


def is_text(space: spaces.Space[Any]) -> bool:
    """Whether a space is of texts: Text, or a class of the environment's own with that type."""
    return space.dtype is not None and np.dtype(space.dtype).kind == "U"


def has_text(space: spaces.Space[Any]) -> bool:
    """Whether a space has a part of texts."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return any(map(has_text, space.values() if isinstance(space, spaces.Dict) else space.spaces))
    return is_text(space)


def with_text_arrays(space: spaces.Space[Any], batch: Any) -> Any:
    """A batch in which texts, of which Gymnasium makes a tuple, are an array [N]."""
    if isinstance(space, spaces.Dict):
        return {key: with_text_arrays(part, batch[key]) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(with_text_arrays(part, one) for part, one in zip(space.spaces, batch, strict=True))
    return np.array(list(batch)) if is_text(space) else batch

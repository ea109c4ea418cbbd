"""Gymnasium's spaces as JSON and back, in Minari's form: no pickle, nothing that could run."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

MOST = 2**24  # numbers of one Box, more than any image has
DTYPE = "biuf"  # kinds


def space_to_json(space: spaces.Space[Any], *, full: bool = False) -> dict[str, Any]:
    """A space as plain values; equal bounds of a Box are written once, unless `full`, as Minari has them.

    TypeError for a space of another kind than Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple.
    """
    kind = type(space).__name__
    if isinstance(space, spaces.Box):
        shown = np.ndarray.tolist if full else _short
        bounds = {"low": shown(space.low), "high": shown(space.high)}
        return {"type": kind, "dtype": str(space.dtype), "shape": list(space.shape), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"type": kind, "dtype": "int64", "start": int(space.start), "n": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        lists = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"type": kind, "dtype": str(space.dtype), **lists}
    if isinstance(space, spaces.MultiBinary):
        return {"type": kind, "n": np.asarray(space.n).tolist()}
    if isinstance(space, spaces.Dict):
        return {"type": kind, "subspaces": {key: space_to_json(part, full=full) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"type": kind, "subspaces": [space_to_json(part, full=full) for part in space.spaces]}
    raise TypeError(f"a {kind} space cannot be written; only Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple")


def space_from_json(data: Any) -> spaces.Space[Any]:
    """The space that `space_to_json`, or Minari, wrote; ValueError, in one line, for anything else."""
    try:
        return _READERS[data["type"]](data)
    except (KeyError, TypeError, ValueError, AssertionError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"no space: {reason[:200]}") from None


def same_space(one: spaces.Space[Any], other: spaces.Space[Any]) -> bool:
    """Whether two spaces are equal as JSON has them: a Dict's order of keys does not matter."""
    return space_to_json(one) == space_to_json(other)


def _short(bound: np.ndarray) -> Any:
    """A bound of a Box: one number where all are the same, infinity as a word, for JSON has none."""
    if bound.size and (bound == bound.flat[0]).all():
        value = bound.flat[0].item()
        return value if np.isfinite(value) else str(value)
    return [_short(part) for part in bound] if bound.ndim else bound.item()


def _box(data: dict[str, Any]) -> spaces.Box:
    shape, dtype = tuple(int(side) for side in data["shape"]), np.dtype(data["dtype"])
    if dtype.kind not in DTYPE or any(side < 0 for side in shape) or np.prod(shape, dtype=float) > MOST:
        raise ValueError(f"a Box of {dtype}, shape {list(shape)}")
    low, high = (_bound(data[name], shape, dtype) for name in ("low", "high"))
    return spaces.Box(low, high, shape, dtype.type)


def _bound(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    if isinstance(value, list):
        return np.array([_bound(part, shape[1:], dtype) for part in value], dtype).reshape(shape)
    return np.full(shape, float(value) if isinstance(value, str) else value, dtype)


def _discrete(data: dict[str, Any]) -> spaces.Discrete:
    return spaces.Discrete(int(data["n"]), start=int(data.get("start", 0)))


def _multi_discrete(data: dict[str, Any]) -> spaces.MultiDiscrete:
    start = data.get("start")
    first = None if start is None else np.array(start, np.int64)
    return spaces.MultiDiscrete(np.array(data["nvec"], np.int64), dtype=np.dtype(data["dtype"]).type, start=first)


def _multi_binary(data: dict[str, Any]) -> spaces.MultiBinary:
    return spaces.MultiBinary(data["n"])


def _dict(data: dict[str, Any]) -> spaces.Dict:
    return spaces.Dict({str(key): space_from_json(part) for key, part in data["subspaces"].items()})


def _tuple(data: dict[str, Any]) -> spaces.Tuple:
    return spaces.Tuple([space_from_json(part) for part in data["subspaces"]])


_READERS: dict[str, Callable[[dict[str, Any]], spaces.Space[Any]]] = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiDiscrete": _multi_discrete,
    "MultiBinary": _multi_binary,
    "Dict": _dict,
    "Tuple": _tuple,
}

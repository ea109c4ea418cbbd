"""Plain data: trees of dicts, lists, strings, numbers and arrays, used for the state of environments."""

from typing import Any

import numpy as np
from gymnasium import spaces


def plain(value: Any) -> Any:
    """A copy of `value` as a plain tree; NumPy scalars become arrays, and what is not plain becomes its text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "__array__") and np.asarray(value).dtype.kind in "biufc":
        return np.array(value)
    return value if value is None or type(value) in (bool, int, float, str) else str(value)


def is_plain(value: Any) -> bool:
    """Whether `plain(value)` loses nothing."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biufc"
    return value is None or type(value) in (bool, int, float, str)


def equal(a: Any, b: Any) -> bool:
    """Whether two plain trees are the same bit for bit (so NaN equals NaN)."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if any(isinstance(x, (dict, list, str, type(None))) for x in (a, b)):
        return type(a) is type(b) and a == b
    if isinstance(a, int) and isinstance(b, int):
        return a == b  # the 128-bit words of a random stream fit no array
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def difference(a: Any, b: Any) -> str:
    """`" by up to X"` for numeric arrays of one shape, else nothing: a part of a message."""
    if not (isinstance(a, np.ndarray) and np.shape(a) == np.shape(b) and a.size):
        return ""
    return f" by up to {np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))):.2g}"


def rng_state(env: Any) -> dict[str, Any] | None:
    """State of an environment's `np_random`, or None if that is not a NumPy generator."""
    generator = getattr(env, "np_random", None)
    if not isinstance(generator, np.random.Generator):
        return None
    seed = getattr(env, "_np_random_seed", None)
    return {"bits": _without_arrays(generator.bit_generator.state), "seed": None if seed is None else int(seed)}


def set_rng(env: Any, state: dict[str, Any] | None) -> None:
    """Put `np_random` into a state taken by `rng_state`, making a generator of the same kind if need be."""
    if state is None:
        return
    bits = state["bits"]
    generator: Any = getattr(env, "np_random", None)
    same_kind = isinstance(generator, np.random.Generator) and (
        type(generator.bit_generator).__name__ == bits["bit_generator"]
    )
    if not same_kind:
        env.np_random = generator = np.random.Generator(getattr(np.random, bits["bit_generator"])())
    generator.bit_generator.state = bits  # in place: parts of the environment may hold the generator itself
    if hasattr(env, "_np_random_seed"):
        env._np_random_seed = state["seed"]


def numbers(env: Any) -> dict[str, Any]:
    """An environment's own attributes that are single numbers, without its seed."""
    kept = (bool, int, float, np.bool_, np.integer, np.floating)
    return {
        name: plain(value)
        for name, value in getattr(env, "__dict__", {}).items()
        if isinstance(value, kept) and name != "_np_random_seed"
    }


def pack(actions: list[Any]) -> tuple[Any, bool]:
    """An episode's actions as one array if they are alike, else a list of trees; and whether they were Python's own."""
    kinds = {type(action) for action in actions}
    alike = len(kinds) == 1 and not kinds & {dict, tuple, list, str}
    arrays = [np.asarray(action) for action in actions] if alike else []
    if arrays and arrays[0].dtype.kind in "biuf" and len({(array.dtype, array.shape) for array in arrays}) == 1:
        return np.stack(arrays), bool(kinds & {int, float, bool})
    return [plain(action) for action in actions], False


def member(space: spaces.Space, tree: Any) -> Any:
    """A plain tree as the member of `space` that it was made from."""
    if isinstance(space, spaces.Dict):
        return {key: member(inner, tree[str(key)]) for key, inner in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(member(inner, item) for inner, item in zip(space.spaces, tree, strict=True))
    if isinstance(tree, (bool, int, float, str, list)):
        return tree
    return np.array(tree)[()]  # a copy: the environment may write into it; a NumPy scalar if it has no shape


def _without_arrays(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _without_arrays(item) for key, item in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state

"""Random streams that an environment holds beside `np_random`, in itself or in its parts, such as MinAtar's game."""

import random
from collections.abc import Iterable, Iterator
from operator import attrgetter
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces

_KINDS = (np.random.Generator, np.random.RandomState, random.Random)
_DEPTH, _MOST = 3, 300  # objects inside of objects; attributes that are looked at


def find_streams(env: Any) -> list[str]:
    """Paths of attributes ("game.random") that are generators of NumPy's or Python's, each once; not of global ones."""
    shared = np.random.mtrand._rand, vars(random).get("_inst")
    seen = {id(getattr(env, "_np_random", None)), *map(id, shared)}
    return [path for _, (path, value) in zip(range(_MOST), _attributes(env), strict=False) if _is_new(value, seen)]


def _is_new(value: Any, seen: set[int]) -> bool:
    new = isinstance(value, _KINDS) and id(value) not in seen
    seen.add(id(value))
    return new


def _attributes(env: Any) -> Iterator[tuple[str, Any]]:
    """(path, value), outer ones first, not of spaces, whose streams no episode depends on."""
    layer = [("", env)]
    for _ in range(_DEPTH):
        layer = [
            (f"{path}{name}", value)
            for path, owner in layer
            for name, value in getattr(owner, "__dict__", {}).items()
            if not isinstance(value, spaces.Space | ModuleType | type)
        ]
        yield from layer
        layer = [(f"{path}.", value) for path, value in layer if not isinstance(value, _KINDS)]


def stream_states(env: Any, paths: Iterable[str]) -> dict[str, Any]:
    """State of each stream that is there, as plain data."""
    return {path: _state(stream) for path in paths if isinstance(stream := _get(env, path), _KINDS)}


def set_streams(env: Any, states: dict[str, Any]) -> None:
    """Put the streams that are there, and are of the same kind, into these states."""
    for path, state in states.items():
        stream = _get(env, path)
        if not isinstance(stream, _KINDS) or _kind(_state(stream)) != _kind(state):
            continue
        if isinstance(stream, random.Random):
            version, words, gauss = state
            stream.setstate((version, tuple(words), gauss))
        elif isinstance(stream, np.random.Generator):
            stream.bit_generator.state = state
        else:
            stream.set_state(state)


def _get(env: Any, path: str) -> Any:
    try:
        return attrgetter(path)(env)
    except AttributeError:  # a part that a reset has still to make
        return None


def _kind(state: Any) -> Any:
    return (state["bit_generator"], "has_gauss" in state) if isinstance(state, dict) else type(state)


def _state(stream: Any) -> Any:
    if isinstance(stream, random.Random):
        version, words, gauss = stream.getstate()
        return [version, list(words), gauss]
    if isinstance(stream, np.random.RandomState):
        return stream.get_state(legacy=False)
    return stream.bit_generator.state

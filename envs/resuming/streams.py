"""Global random streams, `np.random` and `random`, for environments that draw from them: each its own (torch-free)."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np

WATCHED = 100  # calls of each kind of environment that are watched: one that has drawn by then has streams for good
_watched: dict[Any, int] = {}  # calls without a draw, by kind; -1: it draws


class GlobalStreams:
    """Lends an environment global streams of its own while it is called, seeded as its reset is.

    So what it draws depends on its seed alone, and nothing else draws other numbers because of it. An environment that
    never draws is left alone after the first calls.
    """

    def __init__(self, kind: Any):
        """`kind` tells environments that draw from others: by class, wrappers and arguments."""
        self.kind = kind
        self.own: Any = None  # states of both streams, or None before the first seed

    @property
    def lent(self) -> bool:
        """Whether calls are to go through `run`."""
        return 0 <= _watched.get(self.kind, 0) < WATCHED or self.draws

    @property
    def draws(self) -> bool:
        """Whether an environment of this kind has drawn."""
        return _watched.get(self.kind, 0) < 0

    def seed(self, seed: int) -> None:
        """Begin the streams anew."""
        self.own = np.random.RandomState(seed % 2**32).get_state(), random.Random(seed).getstate()

    def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns; the process's own streams stay as they are."""
        outer = _states()
        if self.own is None:
            self.own = outer
        _set_states(self.own)
        try:
            return call()
        finally:
            before, self.own = self.own, _states()
            _set_states(outer)
            if not self.draws:
                _watched[self.kind] = -1 if _differ(before, self.own) else _watched.get(self.kind, 0) + 1

    def snapshot(self) -> Any:
        """The streams as plain data; None for an environment that does not draw."""
        return plain_state(self.own) if self.draws and self.own is not None else None

    def restore(self, saved: Any) -> None:
        """Take over what `snapshot` or `plain_state` gave."""
        if saved is not None:
            (name, keys, *rest), (version, numbers, gauss) = saved
            key = np.asarray(keys, np.uint32)
            self.own = (name, key, *rest), (version, tuple(np.asarray(numbers).tolist()), gauss)
            _watched[self.kind] = -1


def plain_state(state: Any) -> Any:
    """Both streams in lists, arrays and numbers."""
    (name, keys, *rest), (version, numbers, gauss) = state
    return [[name, keys.copy(), *rest], [version, np.array(numbers, np.int64), gauss]]


def _states() -> Any:
    return np.random.get_state(), random.getstate()


def _set_states(states: Any) -> None:
    np.random.set_state(states[0])
    random.setstate(states[1])


def _differ(one: Any, other: Any) -> bool:
    same_numpy = one[0][2:] == other[0][2:] and np.array_equal(one[0][1], other[0][1])
    return not same_numpy or one[1] != other[1]

"""Cuts rollouts, which end anywhere, into whole episodes (torch-free)."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from algos.common.trees import Tree, tree_map

Columns = dict[str, Tree]  # arrays by name, or trees of arrays, with one row a step


PIECES = 256  # of a running episode before they are joined: one of a step takes kilobytes


class EndedEpisode(NamedTuple):
    """An episode, columns [T, ...], and where it ended: row `step` and column `env` of the rollout."""

    step: int
    env: int
    columns: Columns


class EpisodeCutter:
    """Cuts rollouts into episodes, and holds each environment's running one until it has ended.

    An environment is known by its key, from rollout to rollout.
    """

    def __init__(self) -> None:
        self.pieces: dict[Any, list[Columns]] = {}  # of running episodes, by key, [T, ...] each

    def cut(self, columns: Columns, ends: np.ndarray, keys: Sequence[Hashable]) -> list[EndedEpisode]:
        """Take in a rollout, columns [T, N, ...], and give the episodes that end in it, by step and then by env.

        `ends` [T, N] marks last steps, `keys` name the N environments. The arrays are copied.
        """
        begin, ended = [0] * len(keys), []
        for step, env in zip(*(place.tolist() for place in ends.nonzero()), strict=True):
            self._keep(keys[env], columns, slice(begin[env], step + 1), env)
            begin[env] = step + 1
            ended.append(EndedEpisode(step, env, joined(self.pieces.pop(keys[env]))))
        for env, first in enumerate(begin):
            if first < len(ends):
                self._keep(keys[env], columns, slice(first, len(ends)), env)
        return ended

    def _keep(self, key: Hashable, columns: Columns, steps: slice, env: int) -> None:
        piece = tree_map(lambda column: np.array(column[steps, env]), columns)
        pieces = self.pieces.setdefault(key, [])
        pieces.append(piece)
        if len(pieces) >= PIECES:
            pieces[:] = [joined(pieces)]

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drop the running episodes of environments that were lost."""
        for key in keys:
            self.pieces.pop(key, None)

    def running(self) -> dict[Any, Columns]:
        """The episodes that have begun, as far as they are, by key."""
        for pieces in self.pieces.values():
            pieces[:] = [joined(pieces)]  # joining again costs nothing
        return {key: pieces[0] for key, pieces in self.pieces.items()}

    def resume(self, running: dict[Any, Columns]) -> None:
        """Continue from what `running` gave."""
        self.pieces = {key: [columns] for key, columns in running.items()}


def joined(pieces: Sequence[Columns]) -> Columns:
    """Columns [T, ...], one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    whole: Columns = tree_map(lambda *parts: np.concatenate(parts), *pieces)
    return whole

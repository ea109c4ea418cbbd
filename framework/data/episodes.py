"""Whole episodes, learned from once."""

from typing import Any

import numpy as np

from algos.base import Batch, DataSpec
from algos.networks.state import Tree, tree_map
from framework.data.buffers import Buffer, to_tensor
from framework.data.rollout import Rollout

COLUMNS = ("obs", "action", "reward", "next_obs", "terminated", "truncated", "extras")
Columns = dict[str, Tree]


class EpisodeBuffer(Buffer):
    """Joins what rollouts cut: holds each environment's episode until it has ended."""

    def __init__(self) -> None:
        self.begun: dict[str, list[Columns]] = {}  # by "worker.env": the pieces of the episode so far, [T, ...] each
        self.episodes: list[Columns] = []

    def add(self, rollout: Rollout) -> None:
        """Store the rollout of one worker."""
        end = rollout.terminated | rollout.truncated
        for env in range(end.shape[1]):
            key = f"{rollout.worker}.{env}"
            if rollout.reset[0, env]:
                self.begun.pop(key, None)  # the worker was replaced in the middle of it
            start = 0
            for stop in (*(np.flatnonzero(end[:, env]) + 1), len(end)):
                if start == stop:
                    break
                self.begun.setdefault(key, []).append(self._cut(rollout, start, stop, env))
                if end[stop - 1, env]:
                    self.episodes.append(_joined(self.begun.pop(key)))
                start = stop

    def _cut(self, rollout: Rollout, start: int, stop: int, env: int) -> Columns:
        return {name: tree_map(lambda column: column[start:stop, env], getattr(rollout, name)) for name in COLUMNS}

    def due(self, spec: DataSpec, owed: int, before: int, now: int) -> int:
        """One call for every `batch_size` episodes that are in."""
        return len(self.episodes) // spec.batch_size

    def sample(self, n: int, step: int) -> Batch:
        """The first `n` episodes, one after the other: [B, ...]."""
        episodes = self.episodes[:n]
        del self.episodes[:n]
        joined = tree_map(to_tensor, _joined(episodes))
        reset = np.zeros(len(joined["reward"]), dtype=bool)
        reset[np.cumsum([0, *(len(episode["reward"]) for episode in episodes[:-1])])] = True
        return Batch(**joined, reset=to_tensor(reset), step=step)

    def state_dict(self) -> dict[str, Any]:
        """Episodes that have begun, and those that wait."""
        return {"begun": {key: _joined(pieces) for key, pieces in self.begun.items()}, "episodes": self.episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.begun = {key: [columns] for key, columns in state["begun"].items()}
        self.episodes = list(state["episodes"])


def _joined(pieces: list[Columns]) -> Columns:
    """Columns [T, ...], one after the other."""
    whole: Columns = tree_map(lambda *parts: np.concatenate(parts), *pieces)
    return whole

"""Whole episodes, used once."""

from typing import Any

import numpy as np

from algos.common.errors import UserError
from algos.common.trees import tree_map
from algos.data import Batch, DataSpec
from framework.data.buffers import Buffer, to_tensor
from framework.data.rollout import TRANSITION, Rollout
from framework.runs.episodes import Columns, EpisodeCutter, joined

LONGEST = 100_000  # steps of an episode: one that never ends would fill the memory and be learned from never


class EpisodeBuffer(Buffer):
    """Joins the parts of episodes from several rollouts, until each episode has ended."""

    def __init__(self) -> None:
        self.cutter = EpisodeCutter()  # its keys: "worker.env"
        self.episodes: list[Columns] = []
        self.lengths: dict[str, int] = {}  # of the running episodes, by their keys

    def add(self, rollout: Rollout) -> None:
        """Store the rollout of one worker; its episodes come env by env. UserError for one that does not end."""
        ends = rollout.terminated | rollout.truncated
        keys = [f"{rollout.worker}.{env}" for env in range(ends.shape[1])]
        # an episode starts with this rollout: where another was running, the worker was replaced in the middle of it
        self.cutter.forget(keys[env] for env in rollout.reset[0].nonzero()[0])
        self._measure(rollout, ends, keys)
        columns = {name: getattr(rollout, name) for name in (*TRANSITION, "extras")}
        ended = self.cutter.cut(columns, ends, keys)
        self.episodes += [episode.columns for episode in sorted(ended, key=lambda episode: episode.env)]

    def _measure(self, rollout: Rollout, ends: np.ndarray, keys: list[str]) -> None:
        """Count the steps of the running episodes."""
        steps = len(ends)
        over = np.asarray(ends.any(0))
        since_end = np.where(over, ends[::-1].argmax(0), steps)
        for env, key in enumerate(keys):
            before = 0 if over[env] or rollout.reset[0, env] else self.lengths.get(key, 0)
            self.lengths[key] = before + int(since_end[env])
            if self.lengths[key] > LONGEST:
                raise UserError(
                    f"an episode has not ended after {LONGEST:,} steps (row {env} of worker {rollout.worker}), but this"
                    " algorithm learns from whole episodes: set general_cfg.max_step"
                )

    def due(self, spec: DataSpec, owed: int, before: int, now: int) -> int:
        """One call for every `batch_size` episodes that are in."""
        return len(self.episodes) // spec.batch_size

    def sample(self, n: int, step: int) -> Batch:
        """The first `n` episodes, one after the other: [B, ...]."""
        episodes = self.episodes[:n]
        del self.episodes[:n]
        columns = tree_map(to_tensor, joined(episodes))
        reset = np.zeros(len(columns["reward"]), dtype=bool)
        reset[np.cumsum([0, *(len(episode["reward"]) for episode in episodes[:-1])])] = True
        return Batch(**columns, reset=to_tensor(reset), step=step)

    def state_dict(self) -> dict[str, Any]:
        """Episodes that have begun, and those that wait."""
        return {"begun": self.cutter.running(), "episodes": self.episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.cutter.resume(state["begun"])
        self.lengths = {key: len(columns["reward"]) for key, columns in state["begun"].items()}
        self.episodes = list(state["episodes"])

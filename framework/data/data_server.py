"""The data server: a buffer, and the rule for how many updates are due."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from algos.common.errors import UserError
from algos.common.normalize import RewardScale, RunningNorm
from algos.common.schedule import Schedule
from algos.data import Batch, DataSpec
from framework.data.buffers import Buffer, ReplayBuffer, RolloutBuffer, Sampler, joined
from framework.data.demos import DemoBuffer
from framework.data.episodes import EpisodeBuffer
from framework.data.hindsight import GoalReward, HindsightBuffer
from framework.data.n_step import NStep
from framework.data.prioritized import PrioritizedReplayBuffer
from framework.data.rollout import Rollout
from framework.data.sequences import SequenceBuffer


class DataServer:
    """Stores rollouts, samples batches, and counts env steps and the updates due for them."""

    def __init__(
        self,
        spec: DataSpec,
        seed: int,
        n_rollouts: int = 1,
        total_steps: int | None = None,
        goal_reward: GoalReward | None = None,
        dataset: Sampler | None = None,
        demos: DemoBuffer | None = None,
    ):
        """`n_rollouts` are learned as one on-policy: one of each worker that steps in turn with the others.

        `total_steps` is where schedules end; HER needs `goal_reward`. `dataset`: what is drawn from in the place of
        what is put. `demos`: `spec.demo_ratio` of every batch is drawn of them as soon as there are any.
        """
        self.spec = spec
        self.env_steps = 0  # of this run
        self.owed = 0
        self.updates = 0  # drawn for, of an offline run
        self.buffer = make_buffer(spec, seed, n_rollouts, total_steps, goal_reward)
        self.source: Sampler | None = dataset or self.buffer
        self.demos = demos
        self.n_step = NStep(spec.n_step, spec.gamma) if spec.n_step > 1 else None
        self.returns = RunningNorm(()) if spec.replayed and spec.normalize_reward else None
        self.scales: dict[int, RewardScale] = {}  # by worker; they share `returns`

    def put(self, rollout: Rollout) -> None:
        """Store one worker's rollout; `updates_due` then counts the updates it makes due."""
        before = self.env_steps
        self.env_steps += rollout.steps
        if self.returns is not None:
            done = rollout.terminated | rollout.truncated
            self._scale(rollout.worker).observe(torch.from_numpy(rollout.reward).float(), torch.from_numpy(done))
        if self.buffer is not None:
            self.buffer.add(rollout if self.n_step is None else self.n_step(rollout))
            self.owed = self.buffer.due(self.spec, self.owed, before, self.env_steps)
        if self.demos is not None:
            self.demos.add(rollout)

    def updates_due(self) -> int:
        """Calls of `learn` that are due now."""
        return self.owed

    def sample(self) -> Batch:
        """A batch for one call of `learn`; one update fewer is then due."""
        assert self.source is not None
        self.owed -= 1
        step = self.updates if self.spec.offline else self.env_steps
        some = self.demos is not None and self.demos.size > 0
        n_demos = round(self.spec.demo_ratio * self.spec.batch_size) if some else 0
        batch = self.source.sample(self.spec.batch_size - n_demos, step)
        if self.demos is not None and n_demos:
            batch = joined(batch, self.demos.sample(n_demos, step))
        self.updates += self.spec.offline
        if self.returns is not None:
            batch = replace(batch, reward=self._scale(0).scaled(batch.reward))
        scale = self.spec.reward_scale
        return batch if scale == 1 else replace(batch, reward=scale * batch.reward)

    def grant(self, updates: int) -> None:
        """So many updates are due now: of an offline run, whose data are all there."""
        self.owed = updates

    def _scale(self, worker: int) -> RewardScale:
        return self.scales.setdefault(worker, RewardScale(self.spec.gamma, "cpu", self.returns))

    def update_priorities(self, index: np.ndarray, priorities: np.ndarray) -> None:
        """Absolute TD errors [B] of a batch's rows; without effect on a buffer that draws uniformly."""
        assert self.source is not None
        self.source.update_priorities(index, priorities)

    def state_dict(self) -> dict[str, Any]:
        """Buffer and counters."""
        buffer = self.source.state_dict() if self.source is not None else {}
        n_step = self.n_step.state_dict() if self.n_step is not None else {}
        state = {"env_steps": self.env_steps, "owed": self.owed, "buffer": buffer, "n_step": n_step}
        if self.spec.offline:
            state["updates"] = self.updates
        if self.demos is not None:
            state["demos"] = self.demos.state_dict()
        if self.returns is not None:
            state["scales"] = {worker: scale.state_dict() for worker, scale in self.scales.items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.env_steps, self.owed = state["env_steps"], state["owed"]
        self.updates = state.get("updates", 0)
        if self.source is not None:
            self.source.load_state_dict(state["buffer"])
        if self.demos is not None:
            self.demos.load_state_dict(state["demos"])
        if self.n_step is not None:
            self.n_step.load_state_dict(state["n_step"])
        for worker, scale in state.get("scales", {}).items():
            self._scale(int(worker)).load_state_dict(scale)


def make_buffer(
    spec: DataSpec,
    seed: int,
    n_rollouts: int = 1,
    total_steps: int | None = None,
    goal_reward: GoalReward | None = None,
) -> Buffer | None:
    """The buffer that an algorithm needs; None if nothing is learned from its own steps."""
    if spec.kind in ("none", "dataset"):
        return None
    if spec.kind == "rollout":
        return RolloutBuffer(n_rollouts, spec.n_steps)
    if spec.kind == "episode":
        return EpisodeBuffer()
    if spec.kind == "sequence":
        return SequenceBuffer(max(1, spec.capacity // spec.n_steps), seed, spec.n_steps)
    if spec.hindsight:
        if spec.n_step > 1:
            raise UserError(f"algo_cfg.buffer_type=HER stores single steps; algo_cfg.n_step={spec.n_step} must be 1")
        assert goal_reward is not None
        return HindsightBuffer(spec.capacity, seed, goal_reward)
    extras = (*spec.extras, "discount") if spec.n_step > 1 else spec.extras
    if spec.prioritized:
        beta = Schedule(spec.priority_beta, total_steps, "algo_cfg.priority_beta")
        return PrioritizedReplayBuffer(spec.capacity, seed, spec.priority_alpha, beta, extras)
    return ReplayBuffer(spec.capacity, seed, extras)

"""DAgger: the expert's actions in the states that the policy itself visits (Ross et al., 2011)."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from algos.base import Policy
from algos.common.schedule import Schedule
from algos.common.trees import Tree, tree_map
from algos.data import Batch, DataSpec, LearnOutput
from algos.imitation.bc import BC
from algos.imitation.config import DAggerConfig


class Labelling(Policy):
    """A learner that acts greedily, and labels each observation with the expert's action, in the extras.

    Exploring, the expert itself takes each step with probability `beta` of the global step. The state is the expert's.
    """

    expert: Policy

    def __init__(self, learner: Policy, beta: Schedule):
        super().__init__(learner.net, learner.device)
        self.learner, self.beta = learner, beta

    def init_state(self, n: int) -> Tree:
        return self.expert.init_state(n) if hasattr(self, "expert") else ()

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        action = self.learner.act(obs, (), explore=False, step=step)[0]
        if not explore:
            return action, {}, state
        given, _, state = self.expert.act(obs, state, explore=False, step=step)
        label = self.policy_action(self.expert.env_action(given)).astype(action.dtype).reshape(action.shape)
        dice = torch.rand(len(action), generator=self.generator, device=self.device).cpu().numpy()
        led = (dice < self.beta(step)).reshape(-1, *[1] * (action.ndim - 1))
        return np.where(led, label, action), {"label": label}, state

    def env_action(self, action: np.ndarray) -> np.ndarray:
        return self.learner.env_action(action)

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        return self.learner.policy_action(env_action)

    def greedy_state(self, n: int) -> Tree:
        return self.learner.greedy_state(n)

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[torch.Tensor, Tree]:
        return self.learner.greedy_action(obs, state)

    def progress(self, step: int) -> dict[str, float]:
        return {"beta": self.beta(step)}


class DAgger(BC):
    """Rounds of `train_freq` env steps and `gradient_steps` updates:

    act with the expert by chance beta, else with the policy
    label all states that were visited with the expert's actions, and keep them
    updates of behavioural cloning from all labelled steps, those of `demo_paths` included
    """

    Config: ClassVar[type] = DAggerConfig
    needs_expert = True
    policy: Labelling

    def __init__(self, cfg: DAggerConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.demos: Batch | None = None

    def make_policy(self) -> Labelling:
        beta = Schedule(self.cfg.beta, self.total_steps, "algo_cfg.beta")
        return Labelling(super().make_policy(), beta)

    @classmethod
    def data(cls, cfg: DAggerConfig) -> DataSpec:  # type: ignore[override]  # labels are gathered while it learns
        spec = DataSpec.of_replay("replay", cfg)
        spec.extras = ("label",)
        return spec

    def take_expert(self, expert: Policy) -> None:
        self.policy.expert = expert

    def take_demos(self, demos: Batch) -> None:
        self.demos = demos.to(self.device)
        self.take_statistics([self.demos.obs])

    def learn(self, batch: Batch) -> LearnOutput:
        """An update of behavioural cloning, from labels; each row is replaced by one of the demos with their share."""
        if self.net.norm is not None:
            self.net.norm.update(batch.obs)
        obs, label = batch.obs, batch.extras["label"]
        if self.demos is not None:
            known = len(self.demos.action)
            share = known / (known + min(batch.step, self.cfg.buffer_size))
            index = torch.randint(known, (len(label),), generator=self.generator, device=self.device)
            ours = torch.rand(len(label), generator=self.generator, device=self.device) < share

            def mixed(column: torch.Tensor, demo: torch.Tensor) -> torch.Tensor:
                return torch.where(ours.view(-1, *[1] * (column.dim() - 1)), demo[index].to(column.dtype), column)

            obs, label = tree_map(mixed, (obs, label), (self.demos.obs, self.demos.action))
        return super().learn(replace(batch, obs=obs, action=label))

"""Dyna-Q (Sutton, "Integrated architectures for learning, planning, and reacting", ICML 1990)."""

from typing import Any

import numpy as np
import torch

from algos.data import Batch, LearnOutput
from algos.tabular.config import DynaQConfig
from algos.tabular.q_learning import QLearning


class DynaQ(QLearning):
    """Q-learning that also learns from a model: the last outcome seen of each pair (s, a).

    In a stochastic environment the model knows only one outcome, and planning is biased towards the last one seen.
    """

    Config = DynaQConfig
    cfg: DynaQConfig

    def __init__(self, cfg: DynaQConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        shape = self.table.array.shape
        self.model = {  # [S, A] each
            "reward": np.zeros(shape),
            "next_state": np.full(shape, -1, dtype=np.int64),  # -1: not tried
            "terminated": np.zeros(shape, dtype=bool),
        }
        self.tried: list[tuple[int, int]] = []  # the pairs that planning draws from

    def learn(self, batch: Batch) -> LearnOutput:
        output = super().learn(batch)
        lr, epsilon = self.lr(batch.step), self.cfg.epsilon(batch.step)
        for _, state, action, reward, next_state, terminated, _ in self.transitions(batch):
            self.remember(state, action, reward, next_state, terminated)
            self.plan(lr, epsilon)
        return output

    def remember(self, state: int, action: int, reward: float, next_state: int, terminated: bool) -> None:
        """The model's outcome of a pair is the last one."""
        pair, model = (state, action), self.model
        if model["next_state"][pair] < 0:
            self.tried.append(pair)
        model["reward"][pair], model["next_state"][pair], model["terminated"][pair] = reward, next_state, terminated

    def plan(self, lr: float, epsilon: float) -> None:
        """Q-learning's update of `planning_steps` pairs drawn from those that were tried."""
        q, model = self.table.array, self.model
        drawn = torch.randint(len(self.tried), (self.cfg.planning_steps,), generator=self.generator)
        for state, action in (self.tried[i] for i in drawn.tolist()):
            target = float(model["reward"][state, action])
            if not model["terminated"][state, action]:
                target += self.cfg.gamma * self.next_value(self.values(model["next_state"][state, action]), epsilon)
            self.update(q, state, action, target, lr)

    def state_dict(self) -> dict[str, Any]:
        tried = np.array(self.tried, dtype=np.int64).reshape(-1, 2)
        return {**super().state_dict(), "model": self.model, "tried": tried}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, column in self.model.items():
            column[:] = state["model"][name]
        self.tried = [(s, a) for s, a in state["tried"].tolist()]

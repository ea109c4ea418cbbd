"""Q-learning (Watkins and Dayan, "Q-learning", Machine Learning, 1992)."""

from typing import Any

import numpy as np

from algos.common.schedule import Schedule
from algos.data import Batch, LearnOutput
from algos.tabular.config import QLearningConfig
from algos.tabular.table import Tabular


class QLearning(Tabular):
    """Learns the values of the greedy policy while another one explores: one update for every step."""

    Config = QLearningConfig
    cfg: QLearningConfig

    def __init__(self, cfg: QLearningConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")

    def learn(self, batch: Batch) -> LearnOutput:
        lr, epsilon, q = self.lr(batch.step), self.cfg.epsilon(batch.step), self.table.array
        error, count = 0.0, 0
        for _, state, action, reward, next_state, terminated, _ in self.transitions(batch):
            target = (
                reward if terminated else reward + self.cfg.gamma * self.next_value(self.values(next_state), epsilon)
            )
            error += self.update(q, state, action, target, lr)
            count += 1
        return LearnOutput({"train/td_error": error / count, "train/learning_rate": lr})

    def next_value(self, values: np.ndarray, epsilon: float) -> float:
        """max_a' Q(s', a'), of the values Q(s', .) [A]."""
        return max(values.tolist())  # a fifth of the time of values.max() for a few actions

    def update(self, q: np.ndarray, state: int, action: int, target: float, lr: float) -> float:
        """Q(s, a) <- Q(s, a) + lr (target - Q(s, a)), of a table [S, A]; returns the size of the TD error."""
        td_error = target - float(q[state, action])
        q[state, action] += lr * td_error
        return abs(td_error)

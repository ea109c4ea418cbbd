"""On-policy Monte Carlo control (Sutton and Barto, "Reinforcement Learning: An Introduction", 2018, section 5.4)."""

from typing import Any

import numpy as np

from algos.common.schedule import Schedule
from algos.data import Batch, DataSpec, LearnOutput
from algos.tabular.config import MonteCarloConfig
from algos.tabular.table import Tabular


class MonteCarlo(Tabular):
    """Q(s, a) is the mean return after the first visit (or every visit) to (s, a) in an episode."""

    Config = MonteCarloConfig
    cfg: MonteCarloConfig

    def __init__(self, cfg: MonteCarloConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.visits = np.zeros(self.table.array.shape, dtype=np.int64)

    @classmethod
    def data(cls, cfg: MonteCarloConfig) -> DataSpec:
        return DataSpec("episode", batch_size=cfg.batch_size, n_steps=cfg.n_steps)

    def learn(self, batch: Batch) -> LearnOutput:
        assert batch.reset is not None
        starts = np.flatnonzero(batch.reset.numpy())
        ends = [*starts[1:], len(batch.reward)]
        lr, states, action = self.lr(batch.step), self.states(batch.obs).tolist(), batch.action.tolist()
        returns, errors = self.returns(batch).tolist(), []
        for start, stop in zip(starts, ends, strict=True):
            seen = set()
            for t in range(start, stop):
                pair = states[t], action[t]
                if self.cfg.visit == "every" or pair not in seen:
                    errors.append(self.update(pair, returns[t], lr))
                seen.add(pair)
        return LearnOutput({"train/return_error": float(np.mean(errors))})

    def returns(self, batch: Batch) -> np.ndarray:
        """G_t = r_t + gamma G_{t+1} within each episode [B]; G is 0 after termination.

        After a truncation the return is not known: the value of the state reached, under the exploring policy, stands
        in for it.
        """
        columns = (batch.reward, batch.terminated, batch.truncated)
        reward, terminated, truncated = (column.numpy() for column in columns)
        returns, running = np.empty(len(reward)), 0.0
        next_states, epsilon = self.states(batch.next_obs), self.cfg.epsilon(batch.step)
        for t in range(len(reward) - 1, -1, -1):
            if terminated[t]:
                running = 0.0
            elif truncated[t]:
                running = float(self.expected_value(self.values(next_states[t]), epsilon))
            returns[t] = running = reward[t] + self.cfg.gamma * running
        return returns

    def update(self, pair: tuple[int, int], value: float, lr: float) -> float:
        """Q(s, a) <- Q(s, a) + (G - Q(s, a)) / visits (or times lr); returns the size of the error."""
        q = self.table.array
        self.visits[pair] += 1
        error = value - float(q[pair])
        q[pair] += error / self.visits[pair] if self.cfg.average else lr * error
        return abs(error)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "visits": self.visits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.visits[:] = state["visits"]

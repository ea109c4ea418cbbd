"""Value iteration (Bellman, "Dynamic Programming", 1957) and policy iteration (Howard, "Dynamic Programming and Markov
Processes", 1960)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from algos.common.errors import UserError
from algos.data import Batch, LearnOutput
from algos.tabular.config import PolicyIterationConfig, ValueIterationConfig
from algos.tabular.table import Tabular


class ValueIteration(Tabular):
    """V(s) <- max_a sum_s' p(s'|s, a) (r + gamma V(s')) for all states at once, until nothing changes.

    `model` holds the K outcomes of every pair, [S, A, K] each: `probability` (0 if there are fewer), `next_state`,
    `reward`, `terminated`. The first call of `learn` plans to the end; what the environment then shows changes nothing.
    """

    Config = ValueIterationConfig
    needs_model = True
    cfg: ValueIterationConfig

    def __init__(
        self,
        cfg: ValueIterationConfig,
        obs_space: Any,
        action_space: Any,
        *,
        model: Mapping[str, np.ndarray],
        **kwargs: Any,
    ):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        if self.masked:
            raise UserError(
                f"{type(self).__name__} plans with all actions of the environment's table and heeds no 'action_mask';"
                " leave out the wrapper ActionMask, or use algo_name=QLearning"
            )
        probability = model["probability"]
        if probability.shape[:2] != self.table.array.shape:
            raise UserError(
                f"{type(self).__name__}: the model has {probability.shape[:2]} states and actions, the environment's"
                f" spaces have {self.table.array.shape}"
            )
        self.reward = (probability * model["reward"]).sum(2)  # R(s, a) [S, A]
        self.weight = cfg.gamma * probability * ~model["terminated"]  # of V(s') [S, A, K]
        self.next_state = model["next_state"]
        self.sweeps, self.change = 0, 0.0

    def learn(self, batch: Batch) -> LearnOutput:
        if self.sweeps == 0:
            self.plan()
        return LearnOutput({"train/sweeps": float(self.sweeps), "train/value_change": self.change})

    def plan(self) -> None:
        """Sweep until no value changes by more than `tolerance`."""
        q = self.table.array
        while self.sweeps < self.cfg.max_sweeps:
            value = q.max(1)
            q[:] = self.backup(value)
            self.sweeps, self.change = self.sweeps + 1, float(np.abs(q.max(1) - value).max())
            if self.change <= self.cfg.tolerance:
                return
        raise UserError(
            f"algo_cfg.max_sweeps={self.cfg.max_sweeps}: the values still change by {self.change:.2g} per sweep; with"
            f" algo_cfg.gamma={self.cfg.gamma} they may grow without bound, so choose gamma below 1"
        )

    def backup(self, value: np.ndarray) -> np.ndarray:
        """Q(s, a) = R(s, a) + gamma sum_s' p(s'|s, a) V(s'), no value after termination: [S] -> [S, A]."""
        return self.reward + (self.weight * value[self.next_state]).sum(2)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "sweeps": self.sweeps, "change": self.change}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.sweeps, self.change = state["sweeps"], state["change"]


class PolicyIteration(ValueIteration):
    """Values the policy exactly, makes it greedy for those values, and so on until it stays as it is."""

    Config = PolicyIterationConfig

    def plan(self) -> None:
        """A sweep is one evaluation with the improvement that follows it."""
        q = self.table.array
        policy = q.argmax(1)
        while self.sweeps < self.cfg.max_sweeps:
            value = self.evaluate(policy)
            q[:] = self.backup(value)
            # only for a better action is one given up: rounding must not make two equal ones take turns
            gain = q.max(1) - value
            self.sweeps, self.change = self.sweeps + 1, float(gain.max())
            better = gain > self.cfg.tolerance
            if not better.any():
                return
            policy = np.where(better, q.argmax(1), policy)
        raise UserError(f"algo_cfg.max_sweeps={self.cfg.max_sweeps}: the policy still changes; allow more sweeps")

    def evaluate(self, policy: np.ndarray) -> np.ndarray:
        """V of a policy [S]: the solution of V(s) = R(s, a) + gamma sum_s' p(s'|s, a) V(s') with a = policy(s)."""
        from scipy import sparse  # half a second that nobody else pays
        from scipy.sparse.linalg import spsolve

        states = np.arange(len(policy))
        reward, weight = self.reward[states, policy], self.weight[states, policy]  # [S], [S, K]
        next_state = self.next_state[states, policy]
        rows = np.repeat(states, weight.shape[1])
        size = (len(policy), len(policy))
        discounted = sparse.csc_matrix((weight.ravel(), (rows, next_state.ravel())), shape=size)
        solution: np.ndarray = spsolve(sparse.identity(len(policy), format="csc") - discounted, reward)
        return solution

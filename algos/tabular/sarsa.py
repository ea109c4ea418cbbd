"""Sarsa (Rummery and Niranjan, 1994) and Expected Sarsa (van Seijen et al., "A theoretical and empirical analysis of
Expected Sarsa", ADPRL 2009)."""

from typing import Any

import numpy as np

from algos.data import Batch, LearnOutput
from algos.tabular.q_learning import QLearning


class ExpectedSarsa(QLearning):
    """Learns the values of the exploring policy: the value of the next state is the mean over its actions."""

    def next_value(self, values: np.ndarray, epsilon: float) -> float:
        return float(self.expected_value(values, epsilon))


class Sarsa(ExpectedSarsa):
    """The next value is that of the action taken there, so a step is learned when the next one is known."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.waiting: dict[int, tuple[int, int, float]] = {}  # by env: s, a, r of the step before

    def learn(self, batch: Batch) -> LearnOutput:
        lr, epsilon, gamma, q = self.lr(batch.step), self.cfg.epsilon(batch.step), self.cfg.gamma, self.table.array
        resets = batch.reset.numpy().ravel().tolist() if batch.reset is not None else []
        errors = []
        for row, (env, state, action, reward, next_state, terminated, truncated) in enumerate(self.transitions(batch)):
            before = self.waiting.pop(env, None)
            # at the start of an episode, what waits is of a run whose model was loaded: its next action is lost
            if before is not None and not (resets and resets[row]):
                target = before[2] + gamma * float(q[state, action])
                errors.append(self.update(q, before[0], before[1], target, lr))
            if terminated:
                errors.append(self.update(q, state, action, reward, lr))
            elif truncated:  # no next action will be taken: the mean over all of them stands in for it
                target = reward + gamma * self.next_value(self.values(next_state), epsilon)
                errors.append(self.update(q, state, action, target, lr))
            else:
                self.waiting[env] = state, action, reward
        error = sum(errors) / len(errors) if errors else 0.0
        return LearnOutput({"train/td_error": error, "train/learning_rate": lr})

    def state_dict(self) -> dict[str, Any]:
        waiting = [[env, *step] for env, step in self.waiting.items()]
        return {**super().state_dict(), "waiting": waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waiting = {env: (s, a, r) for env, s, a, r in state["waiting"]}

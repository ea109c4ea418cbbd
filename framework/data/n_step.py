"""Transitions over several steps, made of single ones as they arrive."""

from dataclasses import replace
from typing import Any

import numpy as np

from algos.common.trees import Tree, tree_map
from framework.data.rollout import TRANSITION, Rollout


class NStep:
    """Turns each worker's rollouts into rows that span `n` steps, or fewer where the episode ended.

    A row: obs and action of its first step, reward sum_k gamma^k r_k, next_obs, terminated and truncated of its last
    step, and extras["discount"] = gamma^(steps spanned). Rows whose n steps are not over wait for the next rollout.
    """

    def __init__(self, n: int, gamma: float):
        self.n, self.gamma = n, gamma
        self.waiting: dict[int, dict[str, Any]] = {}  # by worker: its last n - 1 rows, and which of them were sent

    def __call__(self, rollout: Rollout) -> Rollout:
        """The rows that a rollout completes, [M, 1, ...], in the order in which they began."""
        columns = {name: getattr(rollout, name) for name in (*TRANSITION, "reset")}
        columns["sent"] = np.zeros(rollout.reward.shape, dtype=bool)
        before = self.waiting.get(rollout.worker)
        if before is not None:
            columns = tree_map(lambda *parts: np.concatenate(parts), before, columns)
        reward, spanned, over = self._sums(columns)
        send = over & ~columns["sent"]
        columns["sent"] |= over
        rows = len(reward)
        keep = slice(max(0, rows - self.n + 1), rows)
        self.waiting[rollout.worker] = tree_map(lambda column: column[keep].copy(), columns)
        begin, env = np.nonzero(send)
        last = begin + spanned[begin, env] - 1

        def at(step: np.ndarray) -> Any:
            return lambda column: column[step, env][:, None]

        first_of: dict[str, Tree] = {name: tree_map(at(begin), columns[name]) for name in ("obs", "action", "reset")}
        last_of = {name: tree_map(at(last), columns[name]) for name in ("next_obs", "terminated", "truncated")}
        discount = (self.gamma ** spanned[begin, env]).astype(np.float32)[:, None]
        total = reward[begin, env][:, None]
        return replace(
            rollout, **first_of, **last_of, reward=total, env_action=total, extras={"discount": discount}, state=()
        )

    def _sums(self, columns: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per row as a first step: the reward summed, the steps spanned, and whether it needs no more steps."""
        end = columns["terminated"] | columns["truncated"]
        lost = np.zeros_like(end)  # the worker was replaced here: the next row belongs to another episode
        lost[:-1] = columns["reset"][1:] & ~end[:-1]
        rows = len(end)
        total = np.zeros(end.shape)
        spanned = np.zeros(end.shape, dtype=np.int64)
        going, over, dropped = np.ones_like(end), np.zeros_like(end), np.zeros_like(end)
        for k in range(min(self.n, rows)):
            some = slice(0, rows - k)
            total[some] += going[some] * self.gamma**k * columns["reward"][k:]
            spanned[some] += going[some]
            over[some] |= going[some] & end[k:]
            dropped[some] |= going[some] & lost[k:] & (spanned[some] < self.n)
            going[some] &= ~end[k:] & ~lost[k:]
        over |= spanned == self.n
        columns["sent"] |= dropped
        return total, spanned, over & ~dropped

    def state_dict(self) -> dict[str, Any]:
        """The rows that wait."""
        return {str(worker): columns for worker, columns in self.waiting.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.waiting = {int(worker): columns for worker, columns in state.items()}

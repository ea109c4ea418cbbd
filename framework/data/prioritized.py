"""Prioritised replay (Schaul et al., "Prioritized experience replay", ICLR 2016), proportional variant."""

from typing import Any

import numpy as np
import torch

from algos.common.errors import UserError
from algos.common.schedule import Schedule
from algos.data import Batch
from framework.data.buffers import ReplayBuffer
from framework.data.rollout import Rollout

EPSILON = 1e-6  # no transition is beyond reach for good


class SumTree:
    """Weights of `capacity` leaves in a binary tree of sums: setting and drawing k of them cost O(k log capacity)."""

    def __init__(self, capacity: int):
        self.depth = max(1, (capacity - 1).bit_length())
        self.first = 1 << self.depth  # place of leaf 0; node i has the children 2i and 2i + 1
        self.sums = np.zeros(2 * self.first)

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self.sums[1])

    def __getitem__(self, leaves: Any) -> np.ndarray:
        return np.asarray(self.sums[self.first :][leaves])

    def set(self, leaves: np.ndarray, weights: np.ndarray) -> None:
        """Set weights; of a leaf that comes twice, the last one stays."""
        nodes = leaves + self.first
        self.sums[nodes] = weights
        for _ in range(self.depth):
            nodes = np.unique(nodes >> 1) if len(nodes) > 1 else nodes >> 1
            self.sums[nodes] = self.sums[2 * nodes] + self.sums[2 * nodes + 1]

    def find(self, mass: np.ndarray) -> np.ndarray:
        """The leaf at which the running sum of weights first exceeds each `mass` in [0, total)."""
        nodes = np.ones(len(mass), dtype=np.int64)
        for _ in range(self.depth):
            nodes *= 2
            left = self.sums[nodes]
            # never into an empty branch, whatever rounding did to the mass
            right = (mass >= left) & (self.sums[nodes + 1] > 0)
            mass = np.where(right, mass - left, mass)
            nodes += right
        return nodes - self.first


class PrioritizedReplayBuffer(ReplayBuffer):
    """Draws row i with probability P(i) = p_i^alpha / sum_k p_k^alpha, p_i its absolute TD error (JoyRL's PER_QUE).

    Batches carry extras["weight"] = (N P(i))^-beta, divided by the largest in the batch. New rows have the largest
    priority seen so far.
    """

    def __init__(self, capacity: int, seed: int, alpha: float, beta: Schedule, extras: tuple[str, ...] = ()):
        super().__init__(capacity, seed, extras)
        self.alpha, self.beta = alpha, beta
        self.tree = SumTree(capacity)
        self.largest = 1.0

    def add(self, rollout: Rollout) -> None:
        first = self.next
        super().add(rollout)
        rows = np.arange(first, first + min(rollout.steps, self.capacity)) % self.capacity
        if len(rows):
            self.tree.set(rows, np.full(len(rows), self.largest**self.alpha))

    def sample(self, n: int, step: int) -> Batch:
        """A minibatch of `n` transitions, one from each of `n` equal parts of the priorities' sum."""
        mass = (np.arange(n) + self.rng.random(n)) * (self.tree.total / n)
        index = self.tree.find(mass)
        share = self.tree[index] * (self.size / self.tree.total)  # N P(i)
        weight = (share / share.min()) ** -self.beta(step)
        batch = self.rows(index, step)
        batch.extras["weight"] = torch.from_numpy(weight.astype(np.float32))
        batch.index = index
        return batch

    def update_priorities(self, index: np.ndarray, priorities: np.ndarray) -> None:
        """Absolute TD errors [B] of the rows `index` that a batch had; UserError for nan, inf and negative ones."""
        priorities = priorities.astype(np.float64) + EPSILON
        largest = float(priorities.max())
        if not (priorities.min() >= 0 and largest < np.inf):  # nan, too, fails this
            wrong = priorities[~((priorities >= 0) & (priorities < np.inf))][0]
            raise UserError(
                f"algo_cfg.buffer_type=PER_QUE: a priority is {wrong:g}, but absolute TD errors are finite: the run has"
                " diverged, or `learn` gives other priorities"
            )
        self.largest = max(self.largest, largest)
        self.tree.set(index, priorities**self.alpha)

    def state_dict(self) -> dict[str, Any]:
        own = {"priorities": self.tree[: self.size], "largest": self.largest}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.largest = state["largest"]
        if self.size:
            self.tree.set(np.arange(self.size), state["priorities"])

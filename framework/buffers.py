"""Buffers: preallocated columns for replay, and the one rollout that on-policy algorithms learn from."""

from typing import Any

import numpy as np
import torch

from algos.base import Batch, DataSpec
from algos.networks.state import Tree, tree_map
from framework.batch import Rollout, join_workers

REPLAY_COLUMNS = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
COLUMNS = (*REPLAY_COLUMNS, "extras", "reset", "state")


def learning_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type in which a column is kept: floats as float32, the rest as it is."""
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


class ReplayBuffer:
    """The last `capacity` transitions in a ring, sampled uniformly with replacement (JoyRL's REPLAY and REPLAY_QUE)."""

    def __init__(self, capacity: int, seed: int):
        self.capacity = capacity
        self.rng = np.random.default_rng(seed)
        self.size = self.next = 0
        self.columns: dict[str, Tree] = {}  # NumPy arrays: small reads and writes cost a fraction of a tensor's

    def add(self, rollout: Rollout) -> None:
        """Store a rollout's transitions, in the order in which they happened."""
        if not self.columns:
            self._allocate(rollout)
        rows = min(rollout.steps, self.capacity)
        skipped = rollout.steps - rows
        first = self.next
        where: Any = slice(first, first + rows)
        if first + rows > self.capacity:
            where = np.arange(first, first + rows) % self.capacity

        def write(column: np.ndarray, values: np.ndarray) -> None:
            column[where] = values.reshape(-1, *values.shape[2:])[skipped:]

        for name, column in self.columns.items():
            tree_map(write, column, getattr(rollout, name))
        self.next = (first + rows) % self.capacity
        self.size = min(self.size + rows, self.capacity)

    def _allocate(self, rollout: Rollout) -> None:
        def empty(values: np.ndarray) -> np.ndarray:
            return np.empty((self.capacity, *values.shape[2:]), learning_dtype(values.dtype))

        self.columns = {name: tree_map(empty, getattr(rollout, name)) for name in REPLAY_COLUMNS}

    def sample(self, n: int, step: int) -> Batch:
        """A minibatch of `n` transitions."""
        index = self.rng.integers(self.size, size=n)
        return Batch(**tree_map(lambda column: torch.from_numpy(column.take(index, axis=0)), self.columns), step=step)

    def state_dict(self) -> dict[str, Any]:
        """The filled rows, the ring's place and the random stream."""
        rows = tree_map(lambda column: column[: self.size], self.columns)
        return {"rows": rows, "size": self.size, "next": self.next, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.size, self.next = state["size"], state["next"]
        self.rng.bit_generator.state = state["rng"]
        if not self.size:
            return

        def grow(rows: np.ndarray) -> np.ndarray:
            column = np.empty((self.capacity, *rows.shape[1:]), rows.dtype)
            column[: self.size] = rows
            return column

        self.columns = tree_map(grow, state["rows"])


class RolloutBuffer:
    """Holds the workers' rollouts until they are learned, once, as one (JoyRL's ONPOLICY_QUE)."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self.rollouts: list[Rollout] = []

    def add(self, rollout: Rollout) -> None:
        """Store the rollout of one worker."""
        self.rollouts.append(rollout)

    def complete(self) -> int:
        """How often there is a rollout for every worker."""
        return len(self.rollouts) // self.n_workers

    def sample(self, n: int, step: int) -> Batch:
        """The first rollouts, as many as workers, joined along the environments: [T, N, ...]."""
        rollout = join_workers(self.rollouts[: self.n_workers])
        del self.rollouts[: self.n_workers]

        def tensor(values: np.ndarray) -> torch.Tensor:
            # writeable: what another process sent is not
            return torch.from_numpy(np.require(values, learning_dtype(values.dtype), ["C", "W"]))

        return Batch(**{name: tree_map(tensor, getattr(rollout, name)) for name in COLUMNS}, step=step)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: checkpoints fall between rollouts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""


def make_buffer(spec: DataSpec, seed: int, n_workers: int = 1) -> ReplayBuffer | RolloutBuffer | None:
    """The buffer that an algorithm asks for, by JoyRL's names; None where nothing is learned."""
    if spec.kind == "none":
        return None
    name = spec.buffer_type or {"replay": "REPLAY_QUE", "rollout": "ONPOLICY_QUE"}[spec.kind]
    return RolloutBuffer(n_workers) if name == "ONPOLICY_QUE" else ReplayBuffer(spec.capacity, seed)


def batch_to(batch: Batch, device: str) -> Batch:
    """The batch on the learner's device."""
    if device == "cpu":
        return batch
    present = {name: getattr(batch, name) for name in COLUMNS if getattr(batch, name) is not None}
    return Batch(**tree_map(lambda leaf: leaf.to(device, non_blocking=True), present), step=batch.step)

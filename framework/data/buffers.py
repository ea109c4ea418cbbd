"""Buffers: preallocated columns for replay, and rollouts for on-policy algorithms."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from algos.common.forms import check_rows
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.data import Batch, DataSpec
from framework.data.frames import FrameColumn, Frames, frames_for
from framework.data.rollout import COLUMNS, TRANSITION, Rollout, join_workers


def learning_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type in which a column is kept: floats as float32, the rest as it is, in this machine's order of bytes."""
    if dtype.kind == "f":
        return np.dtype(np.float32)
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def to_tensor(values: np.ndarray) -> torch.Tensor:
    """A column as a tensor of its learning type, which may be written to (what another process sent may not)."""
    if values.dtype.kind != "f" and values.flags.carray:  # most columns of a table's rollout, without a walk
        return torch.from_numpy(values)
    return torch.from_numpy(np.require(values, learning_dtype(values.dtype), ["C", "W"]))


class Sampler(ABC):
    """What the data server draws batches from."""

    @abstractmethod
    def sample(self, n: int, step: int) -> Batch:
        """A batch of `n` rows, drawn at env step `step`."""

    def update_priorities(self, index: np.ndarray, priorities: np.ndarray) -> None:  # noqa: B027 - most need none
        """Absolute TD errors [B] of the rows `index` of a batch; without effect unless rows are drawn by them."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that later samples depend on."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class Buffer(Sampler):
    """What a run's rollouts are stored in and drawn from."""

    @abstractmethod
    def add(self, rollout: Rollout) -> None:
        """Store the rollout of one worker."""

    @abstractmethod
    def due(self, spec: DataSpec, owed: int, before: int, now: int) -> int:
        """Calls of `learn` owed after a rollout that took the env steps from `before` to `now`; `owed` were already."""


class ReplayBuffer(Buffer):
    """The last `capacity` transitions in a ring, sampled uniformly with replacement (JoyRL's REPLAY and REPLAY_QUE).

    `extras` names columns of the rollouts' extras that are kept too. Images are kept as frames, each of them once.
    """

    names: tuple[str, ...] = TRANSITION
    shares_frames = True  # False: images are kept whole

    def __init__(self, capacity: int, seed: int, extras: tuple[str, ...] = ()):
        self.capacity, self.extras = capacity, extras
        self.rng = np.random.default_rng(seed)
        self.size = self.next = 0
        # NumPy arrays (small reads and writes cost a fraction of a tensor's) and FrameColumns
        self.columns: dict[str, Tree] = {}
        self.frames: Tree = ()  # like an observation: the Frames of its images, None for the rest

    def add(self, rollout: Rollout) -> None:
        """Store a rollout's transitions, in the order in which they happened."""
        columns = {name: self._flat(name, rollout) for name in self.names}
        if self.extras:
            columns["extras"] = {name: self._flat_values(rollout.extras[name]) for name in self.extras}
        given = len(columns["reward"])
        if not given:
            return
        if not self.columns:
            self.frames = self._new_frames(columns)
            self.columns = {name: self._empty(name, first_rows) for name, first_rows in columns.items()}
        rows = min(given, self.capacity)
        first = self.next
        where: Any = slice(first, first + rows)
        if first + rows > self.capacity:
            where = np.arange(first, first + rows) % self.capacity

        def write(column: np.ndarray, values: np.ndarray) -> None:
            column[where] = values[given - rows :]

        tree_map(write, self.columns, columns)
        self.next = (first + rows) % self.capacity
        self.size = min(self.size + rows, self.capacity)

    def _flat(self, name: str, rollout: Rollout) -> Tree:
        """A column [T, N, ...] as rows [T * N, ...]."""
        return tree_map(self._flat_values, getattr(rollout, name))

    @staticmethod
    def _flat_values(values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *values.shape[2:])

    def _new_frames(self, first: dict[str, Tree]) -> Tree:
        """What `frames` is to be for rows like these."""

        def new(obs: np.ndarray, next_obs: np.ndarray) -> Frames | None:
            return frames_for(obs, next_obs, self.capacity) if self.shares_frames else None

        return tree_map(new, first["obs"], first["next_obs"])

    def _empty(self, name: str, first: Tree) -> Tree:
        """A column without rows yet, for rows like these."""

        def empty(values: np.ndarray, frames: Frames | None = None) -> np.ndarray | FrameColumn:
            if frames is not None:
                return FrameColumn(frames, self.capacity)
            return np.empty((self.capacity, *values.shape[1:]), learning_dtype(values.dtype))

        return tree_map(empty, first, self.frames) if name in ("obs", "next_obs") else tree_map(empty, first)

    def due(self, spec: DataSpec, owed: int, before: int, now: int) -> int:
        """`gradient_steps` updates more for every `train_freq` env steps, once learning has started."""
        if self.size < spec.batch_size or self.env_rows < spec.learning_starts // spec.row_steps:
            return owed
        return owed + (now // spec.train_freq - before // spec.train_freq) * spec.round_updates

    @property
    def env_rows(self) -> int:
        """Rows that came from the environment, as `learning_starts` counts them."""
        return self.size

    def sample(self, n: int, step: int) -> Batch:
        """A minibatch of `n` rows."""
        return self.rows(self.rng.integers(self.size, size=n), step)

    def rows(self, index: np.ndarray, step: int) -> Batch:
        """These rows as a batch."""

        def drawn(column: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(column.take(index, 0))

        return Batch(**tree_map(drawn, self.columns), step=step)

    def state_dict(self) -> dict[str, Any]:
        """The filled rows, the ring's place and the random stream."""

        def kept(column: np.ndarray | FrameColumn) -> np.ndarray:
            return (column.slots if isinstance(column, FrameColumn) else column)[: self.size]

        return {
            "rows": tree_map(kept, self.columns),
            "frames": tree_map(lambda frames: None if frames is None else frames.state_dict(), self.frames),
            "size": self.size,
            "next": self.next,
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.size, self.next = state["size"], state["next"]
        self.rng.bit_generator.state = state["rng"]
        if not self.size:
            return
        rows, older = state["rows"], "frames" not in state  # older versions kept images whole
        if not {*self.names} <= rows.keys() or not 0 < self.size <= self.capacity or not 0 <= self.next < self.capacity:
            raise ValueError(f"a buffer of {self.size} rows, the next at {self.next}, with {sorted(rows)}")
        if not all(tree_leaves(column) for column in rows.values()):
            raise ValueError("a column of the buffer that holds nothing")
        for leaf in tree_leaves(rows):
            check_rows(leaf, "a column of the buffer", (self.size,))

        def restored(obs: np.ndarray, next_obs: np.ndarray, saved: dict[str, Any] | None) -> Frames | None:
            return None if saved is None else Frames.restored(saved, [obs, next_obs], self.capacity)

        def fill(column: Any, values: np.ndarray) -> None:
            target = column.slots if isinstance(column, FrameColumn) and not older else column
            target[: self.size] = values

        if older:
            self.frames = self._new_frames(rows)
        else:
            self.frames = tree_map(restored, rows["obs"], rows["next_obs"], state["frames"])
        self.columns = {name: self._empty(name, values) for name, values in rows.items()}
        tree_map(fill, self.columns, rows)


class RolloutBuffer(Buffer):
    """Holds rollouts of `length` steps until `n_rollouts` are used once, as one batch (JoyRL's ONPOLICY_QUE)."""

    def __init__(self, n_rollouts: int, length: int):
        self.n_rollouts, self.length = n_rollouts, length
        self.rollouts: list[Rollout] = []

    def add(self, rollout: Rollout) -> None:
        """Store a rollout; one cut short by the end of the run is left out."""
        if len(rollout.reward) == self.length:
            self.rollouts.append(rollout)

    def due(self, spec: DataSpec, owed: int, before: int, now: int) -> int:
        """One call for every `n_rollouts` that are in."""
        return len(self.rollouts) // self.n_rollouts

    def sample(self, n: int, step: int) -> Batch:
        """The first `n_rollouts` rollouts, joined along the environments: [T, N, ...]."""
        rollout = join_workers(self.rollouts[: self.n_rollouts])
        del self.rollouts[: self.n_rollouts]
        return Batch(**{name: tree_map(to_tensor, getattr(rollout, name)) for name in COLUMNS}, step=step)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: checkpoints fall between rollouts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""


def batch_map(fn: Callable[[Any], Any], batch: Batch) -> Batch:
    """A batch with `fn` applied to every tensor in it."""
    present = {name: getattr(batch, name) for name in COLUMNS if getattr(batch, name) is not None}
    return replace(batch, **tree_map(fn, present))


def joined(one: Batch, other: Batch) -> Batch:
    """The rows of two batches of transitions, one after the other; what they tell, together."""
    columns = {
        name: tree_map(lambda *leaves: torch.cat(leaves), getattr(one, name), getattr(other, name))
        for name in TRANSITION
    }
    return replace(one, **columns, told={**one.told, **other.told})

"""The buffer that an offline algorithm draws from."""

import zlib

import numpy as np
import torch

from algos.common.errors import UserError
from algos.common.trees import tree_leaves, tree_map
from algos.data import Batch, DataSpec
from framework.data.buffers import Buffer
from framework.data.rollout import Rollout
from framework.datasets.columns import STEP_COLUMNS, Dataset


class DatasetBuffer(Buffer):
    """Draws from a dataset, uniformly with replacement: rows, or sequences of `length` steps of the stream of episodes.

    A sequence [B, T, ...] begins anywhere; `reset` marks its first step and each at which another episode begins.
    """

    def __init__(self, dataset: Dataset, seed: int, length: int = 1):
        self.dataset, self.length = dataset, length
        self.rng = np.random.default_rng(seed)
        self._crc: int | None = None

    def add(self, rollout: Rollout) -> None:
        """Nothing is added to a dataset."""
        raise NotImplementedError

    def due(self, spec: DataSpec, owed: int, before: int, now: int) -> int:
        """Nothing falls due by env steps."""
        return owed

    def sample(self, n: int, step: int) -> Batch:
        """A minibatch of `n` rows or sequences, drawn at update `step`."""
        index = self.rng.integers(self.dataset.steps - self.length + 1, size=n)
        if self.length > 1:
            index = index[:, None] + np.arange(self.length)
        return self.rows(index, step)

    def rows(self, index: np.ndarray, step: int) -> Batch:
        """The steps of these numbers, of any shape, as a batch."""
        columns, first = self.dataset.columns, self.dataset.first
        episode = np.searchsorted(first, index, side="right") - 1

        def drawn(column: np.ndarray, at: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(column.take(at, 0))

        obs = tree_map(lambda column: drawn(column, index + episode), columns["obs"])
        next_obs = tree_map(lambda column: drawn(column, index + episode + 1), columns["obs"])
        rest = {name: tree_map(lambda column: drawn(column, index), columns[name]) for name in STEP_COLUMNS}
        reset = None
        if self.length > 1:
            starts = first[episode] == index
            starts[:, 0] = True
            reset = torch.from_numpy(starts)
        return Batch(obs=obs, next_obs=next_obs, reset=reset, step=step, **rest)

    def crc(self) -> int:
        """A checksum of the data, computed once."""
        if self._crc is None:
            self._crc = 0
            for leaf in tree_leaves(self.dataset.columns):
                self._crc = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, self._crc)
        return self._crc

    def state_dict(self) -> dict[str, object]:
        """The random stream; the data stay where they are."""
        return {"rng": self.rng.bit_generator.state, "crc": self.crc()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what `state_dict` returned; UserError where the data are others than those of the run so far."""
        if state["crc"] != self.crc():
            raise UserError("algo_cfg.dataset: its contents are not those that the run began with")
        self.rng.bit_generator.state = state["rng"]  # type: ignore[assignment]

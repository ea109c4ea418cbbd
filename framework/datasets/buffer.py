"""The buffer that an offline algorithm draws from."""

from functools import cached_property

import numpy as np
import torch

from algos.common.errors import UserError
from algos.common.trees import Tree, tree_map
from algos.data import Batch
from framework.data.buffers import Sampler
from framework.datasets.columns import STEP_COLUMNS, Dataset
from framework.datasets.facts import Contents


class DatasetBuffer(Sampler):
    """Draws from a dataset, uniformly with replacement: rows, or sequences of `length` steps of the stream of episodes.

    A sequence [B, T, ...] begins anywhere; `reset` marks its first step and each at which another episode begins.
    """

    def __init__(self, dataset: Dataset, seed: int, length: int = 1, action: Tree | None = None):
        """`action` [S, ...]: the actions as they are learned from; None: as the environment took them."""
        self.dataset, self.length = dataset, length
        self.columns = dataset.columns if action is None else {**dataset.columns, "action": action}
        self.rng = np.random.default_rng(seed)

    @property
    def size(self) -> int:
        """Steps."""
        return self.dataset.steps

    def sample(self, n: int, step: int) -> Batch:
        """A minibatch of `n` rows or sequences, drawn at update `step`."""
        index = self.rng.integers(self.dataset.steps - self.length + 1, size=n)
        if self.length > 1:
            index = index[:, None] + np.arange(self.length)
        return self.rows(index, step)

    def rows(self, index: np.ndarray, step: int) -> Batch:
        """The steps of these numbers, of any shape, as a batch."""
        columns, first = self.columns, self.dataset.first
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

    def sha256(self) -> str:
        """The hash of the data's contents, that of their dataset.json; computed once."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        contents = Contents()
        for episode in self.dataset.each():
            contents.add(episode)
        return contents.digest.hex()

    def state_dict(self) -> dict[str, object]:
        """The random stream; the data stay where they are."""
        return {"rng": self.rng.bit_generator.state, "sha256": self.sha256()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what `state_dict` returned; UserError where the data are others than those of the run so far."""
        if state["sha256"] != self.sha256():
            raise UserError("algo_cfg.dataset: its contents are not those that the run began with")
        self.rng.bit_generator.state = state["rng"]  # type: ignore[assignment]

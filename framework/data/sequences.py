"""Sequences of steps with the state that the policy had before them, for replay by recurrent networks.

Stored states follow Kapturowski et al., "Recurrent experience replay in distributed reinforcement learning" (2019).
"""

import numpy as np

from algos.common.trees import tree_map
from algos.data import Batch
from framework.data.buffers import ReplayBuffer, to_tensor
from framework.data.rollout import TRANSITION, Rollout


class SequenceBuffer(ReplayBuffer):
    """The last `capacity` sequences, each a rollout's steps of one environment, sampled uniformly."""

    names = (*TRANSITION, "reset", "state")
    shares_frames = False  # images are kept whole

    def __init__(self, capacity: int, seed: int, length: int):
        super().__init__(capacity, seed)
        self.length = length

    def add(self, rollout: Rollout) -> None:
        """Store a rollout; one that the end of the run cut short is left out."""
        if len(rollout.reward) == self.length:
            super().add(rollout)

    def _flat(self, name: str, rollout: Rollout) -> np.ndarray:
        """A column as one row for each sequence, [N, T, ...]; the state is [N, ...] already."""
        column = getattr(rollout, name)
        return column if name == "state" else tree_map(lambda values: values.swapaxes(0, 1), column)

    def rows(self, index: np.ndarray, step: int) -> Batch:
        return Batch(**tree_map(lambda column: to_tensor(column[index]), self.columns), step=step)

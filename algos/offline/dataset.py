"""What the methods of this folder have in common, whatever online method they are built on."""

from dataclasses import replace
from typing import Any

from algos.base import Algorithm
from algos.common.trees import Tree
from algos.data import Batch, DataSpec, LearnOutput


class FromDataset(Algorithm):
    """Stands before an algorithm for replay and makes it one for a dataset.

    Rewards are scaled and shifted as the settings say, and observations normalised by the whole dataset.
    """

    cfg: Any

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        return DataSpec("dataset", batch_size=cfg.batch_size)

    def update_norm(self, obs: Tree) -> None:
        """Nothing: the statistics are the dataset's."""

    def learn(self, batch: Batch) -> LearnOutput:
        reward = self.cfg.reward_scale * batch.reward + self.cfg.reward_shift
        output: LearnOutput = super().learn(replace(batch, reward=reward))  # type: ignore[safe-super]
        return output

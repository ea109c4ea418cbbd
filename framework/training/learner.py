"""The learner: an algorithm on its device, with the random streams of learning."""

from typing import Any

import torch

from algos.base import Algorithm
from algos.common.streams import take_over
from algos.data import Batch, LearnOutput


class Learner:
    """Learns from batches; a worker elsewhere takes `weights()`."""

    def __init__(self, algorithm: Algorithm):
        self.algorithm = algorithm
        self.device = algorithm.device

    def learn(self, batch: Batch) -> LearnOutput:
        """Improve on a batch; what it tells goes with the metrics."""
        output = self.algorithm.learn(self.algorithm.augmented(batch.to(self.device)))
        if batch.told:
            output.metrics = {**output.metrics, **batch.told}
        return output

    def weights(self) -> dict[str, torch.Tensor]:
        """Weights of the policy's network, on the CPU."""
        return {name: value.cpu() for name, value in self.algorithm.policy.net.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """The algorithm, and the streams of minibatches and dropout."""
        state = {
            "algorithm": self.algorithm.state_dict(),
            "generator": self.algorithm.generator.get_state(),
            "torch": torch.get_rng_state(),
        }
        if self.device.startswith("cuda"):
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore what `state_dict` returned; a line for what cannot be, where the device is of another kind."""
        self.algorithm.load_state_dict(state["algorithm"])
        told = take_over(self.algorithm.generator, state["generator"])
        told += take_over(torch.default_generator, state["torch"])
        if "cuda" in state and self.device.startswith("cuda"):
            torch.cuda.set_rng_state(state["cuda"], self.device)
        return told

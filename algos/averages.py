"""Averaged weights of a policy (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992)."""

import copy
from typing import Any

import torch
from torch import nn

from algos.base import Algorithm, Policy
from algos.common.targets import make_target, update_target


class Averaged(Algorithm):
    """With `average_weights` an exponential average of the policy's weights is what is evaluated, saved and exported.

    The policy itself acts in training and is learned on from. A subclass calls `begin_average` once its policy is
    there, `follow` after each update of it, and adds `average_state` to its state.
    """

    average: nn.Module | None = None
    averaged_policy: Policy | None = None

    @property
    def evaluated(self) -> Policy:
        return self.policy if self.averaged_policy is None else self.averaged_policy

    def begin_average(self) -> None:
        """Begin with the policy's weights; it has the statistics of observations in common with the policy."""
        if not getattr(self.cfg, "average_weights", 0):  # what learns from a dataset lacks it
            return
        self.average = make_target(self.policy.net, getattr(self.policy.net, "norm", None))
        self.averaged_policy = copy.copy(self.policy)
        Policy.__init__(self.averaged_policy, self.average, self.device)

    def follow(self) -> None:
        """average <- (1 - rate) average + rate weights, after an update."""
        if self.average is not None:
            self._take_in(self.cfg.average_weights)

    def begin_anew(self) -> None:
        self._take_in(1.0)

    @torch.no_grad()
    def _take_in(self, rate: float) -> None:
        if self.average is None:
            return
        update_target(self.average, self.policy.net, rate)
        for own, new in zip(self.average.buffers(), self.policy.net.buffers(), strict=True):
            if own is not new:
                own.copy_(new)

    def average_state(self) -> dict[str, Any]:
        """What a saved model has of the average; {} without one."""
        return {} if self.average is None else {"average": self.average.state_dict()}

    def load_average(self, state: dict[str, Any]) -> None:
        """Take over a saved model's average: as the weights themselves where this one keeps none.

        A model without one begins it with its weights.
        """
        if "average" not in state:
            self._take_in(1.0)
        elif self.average is None:
            self.policy.net.load_state_dict(state["average"])
        else:
            self.average.load_state_dict(state["average"])

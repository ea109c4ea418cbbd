"""A3C (Mnih et al., "Asynchronous methods for deep reinforcement learning", 2016): no worker waits for another."""

from dataclasses import replace

from algos.base import DataSpec
from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.config import A2CConfig


class A3C(A2C):
    """A2C whose updates are made of one worker's rollout each, as they arrive: with mp_backend=ray and sync=async.

    Elsewhere the workers go in step, and it is A2C. The paper's workers compute gradients themselves; here the learner
    does, from weights at most one round newer than those that acted.
    """

    @classmethod
    def data(cls, cfg: A2CConfig) -> DataSpec:
        return replace(super().data(cfg), by_worker=True)

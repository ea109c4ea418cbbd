"""A3C (Mnih et al., "Asynchronous methods for deep reinforcement learning", 2016): no worker waits for another."""

from dataclasses import replace
from typing import Any

from algos.base import DataSpec
from algos.common.errors import UserError
from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.config import A2CConfig


class A3C(A2C):
    """A2C whose updates are made of one worker's rollout each, as they arrive: with mp_backend=ray and sync=async.

    Not an algorithm of its own but a way to feed A2C's update: elsewhere the workers go in step, and it is A2C. The
    paper's workers compute gradients themselves; here the learner does, from weights at most one round newer than those
    that acted.
    """

    def __init__(self, cfg: A2CConfig, *args: Any, **kwargs: Any):
        if cfg.normalize_reward:  # the scale follows each environment's return from rollout to rollout
            raise UserError(
                "algo_cfg.normalize_reward=true cannot be combined with A3C, whose rollouts come from different"
                " workers;"
                " scale rewards in env_cfg.wrappers"
            )
        super().__init__(cfg, *args, **kwargs)

    @classmethod
    def data(cls, cfg: A2CConfig) -> DataSpec:
        return replace(super().data(cfg), by_worker=True)

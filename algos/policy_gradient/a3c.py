"""A3C (Mnih et al., "Asynchronous methods for deep reinforcement learning", 2016): workers do not wait."""

from dataclasses import replace
from typing import Any

from algos.common.errors import UserError
from algos.data import DataSpec
from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.config import A2CConfig


class A3C(A2C):
    """A2C with one update per worker rollout, as rollouts arrive; needs mp_backend=ray and sync=async.

    In other modes the workers run in step, which is A2C. In the paper the workers compute the gradients; here the
    learner does, with weights that are at most one round newer than those that acted.
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

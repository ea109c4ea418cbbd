"""Networks that learn an expert's actions."""

from typing import Any, cast

from gymnasium import spaces
from torch import Tensor, nn

from algos.common.distributions import GaussianMixture
from algos.imitation.config import CloningConfig
from algos.networks.builder import orthogonal_
from algos.policy_gradient.actor_critic import ActorCritic


class CloningActor(ActorCritic):
    """PPO's actor, without a critic; with `mixture` its output is a mixture of normals for each observation."""

    def __init__(self, cfg: CloningConfig, obs_space: Any, action_space: Any):
        self.mixture = cfg.mixture
        super().__init__(cfg, obs_space, action_space, critic=False)
        if self.mixture is not None:
            self.log_std = None  # each normal has its own
            if cfg.ortho_init and self.actor.has_head:  # normals that begin as one and the same would stay so
                orthogonal_(self.actor, gain=2**0.5, head_gain=1.0)
                nn.init.normal_(cast(Tensor, self.actor.body[-1].bias), std=0.5)

    def head(self, action_space: spaces.Space[Any]) -> tuple[int, str]:
        size, meaning = super().head(action_space)
        if self.mixture is None:
            return size, meaning
        return self.mixture * (1 + 2 * size), "logits of the normals, then their means and log standard deviations"

    def distribution(self, params: Tensor) -> Any:
        return super().distribution(params) if self.mixture is None else GaussianMixture(params, self.mixture)

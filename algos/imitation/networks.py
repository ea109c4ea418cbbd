"""Networks that learn an expert's actions, and one that tells the expert's from the policy's."""

from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from algos.common.distributions import GaussianMixture, head_size, sizes_of
from algos.common.errors import UserError
from algos.common.masks import split_mask, without_mask
from algos.common.trees import Tree
from algos.imitation.config import CloningConfig, GAILConfig
from algos.networks.builder import build_encoder, build_head_stack, orthogonal_
from algos.networks.spec import CARRY_STATE
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


class Discriminator(nn.Module):
    """Observations, actions and flags of absorbing states -> log D / (1 - D) [B], D the probability of the expert's.

    It has an encoder of its own, like the policy's; one with memory is left out, for single steps are judged.
    """

    low: Tensor
    high: Tensor
    middle: Tensor
    reach: Tensor

    def __init__(self, cfg: GAILConfig, obs_space: Any, action_space: Any):
        super().__init__()
        self.action_space, self.sizes = action_space, sizes_of(action_space)
        obs_space, self.masked = split_mask(obs_space, action_space)
        branches, merge = ({}, []) if cfg.recurrent else (cfg.branch_layers, cfg.encoder_layers)
        self.encoder = build_encoder(obs_space, branches, merge)
        size = self.encoder.out_features + head_size(action_space) + 1
        self.head = build_head_stack(size, cfg.discriminator_layers, 1, "algo_cfg.discriminator_layers")
        if self.head.recurrent:
            raise UserError(f"algo_cfg.discriminator_layers: layers that {CARRY_STATE} cannot judge single steps")
        low, high = np.zeros(1), np.ones(1)  # MultiBinary
        if isinstance(action_space, spaces.Box):
            low, high = action_space.low.reshape(-1), action_space.high.reshape(-1)
        bounded = np.isfinite(low) & np.isfinite(high)
        lowest, highest = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
        scale = {"low": low, "high": high, "middle": (highest + lowest) / 2, "reach": (highest - lowest) / 2}
        for name, value in scale.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` [B, D], as `joined` makes them, -> logits [B]."""
        return cast(Tensor, self.head(inputs).squeeze(-1))

    def joined(self, obs: Tree, action: Tensor, absorbing: Tensor) -> Tensor:
        """Features, actions and flags [B] side by side, [B, D]; of an absorbing state there is only the flag."""
        features = self.encoder(without_mask(obs) if self.masked else obs)
        live = 1.0 - absorbing.unsqueeze(1)
        return torch.cat([features * live, self.numbers(action) * live, absorbing.unsqueeze(1)], dim=1)

    def numbers(self, action: Tensor) -> Tensor:
        """Actions of the policy's form as [B, A]: one-hot choices; Box actions as taken, bounds at -1 and 1."""
        if isinstance(self.action_space, spaces.Discrete):
            return F.one_hot(action, int(self.action_space.n)).float()
        if self.sizes:
            parts = zip(action.unbind(-1), self.sizes, strict=True)
            return torch.cat([F.one_hot(part, size) for part, size in parts], dim=-1).float()
        return (torch.clamp(action.float(), self.low, self.high) - self.middle) / self.reach

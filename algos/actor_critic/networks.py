"""Actors and critics over an observation's features, and the squashed Gaussian that SAC and TQC act by."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.actor_critic.config import ReplayActorCriticConfig
from algos.common.errors import UserError
from algos.common.sequences import Sequences
from algos.common.trees import Tree
from algos.networks.builder import build_encoder, build_head_stack
from algos.networks.spec import CARRY_STATE
from algos.networks.state import one_step

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # the bounds of Haarnoja et al.
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Heads(nn.Module):
    """Networks of one kind over a shared encoder, which only prepares the observation if it has no layers.

    Memory lies in the encoder. Called with `Sequences`, a network gives a row for each of their learned steps.
    """

    def __init__(
        self, cfg: ReplayActorCriticConfig, obs_space: Any, key: str, n_heads: int, out_features: int, n_inputs: int = 0
    ):
        """`key` names the heads' layers in `cfg`; `n_inputs` numbers join the features."""
        super().__init__()
        self.encoder = build_encoder(obs_space, cfg.branch_layers, cfg.encoder_layers, "algo_cfg.merge_layers")
        width, path = self.encoder.out_features + n_inputs, f"algo_cfg.{key}"
        heads = [build_head_stack(width, getattr(cfg, key), out_features, path) for _ in range(n_heads)]
        self.heads = nn.ModuleList(heads)
        self.parts = (self.encoder, *heads)
        self.recurrent = self.encoder.recurrent
        if any(head.recurrent for head in heads):
            raise UserError(f"{path}: layers that {CARRY_STATE} belong into algo_cfg.merge_layers")

    def features(self, obs: Tree) -> Tensor:
        """Observations [N, ...], or sequences of N learned steps, -> [N, D]."""
        if not isinstance(obs, Sequences):
            return self.encoder(obs)
        return obs.unroll(self.encoder).flatten(0, 1)

    def reset_noise(self, generator: torch.Generator) -> None:
        """Fresh noise in noisy layers."""
        for part in self.parts:
            part.reset_noise(generator)


class Actor(Heads):
    """Observations -> parameters of the policy [B, out]: logits, say."""

    def __init__(self, cfg: ReplayActorCriticConfig, obs_space: Any, out_features: int):
        super().__init__(cfg, obs_space, "actor_layers", 1, out_features)

    def forward(self, obs: Tree) -> Any:
        return self.params(self.features(obs))

    def params(self, features: Tensor) -> Any:
        """Features [B, D] -> parameters of the policy."""
        return self.heads[0](features)

    def step(self, obs: Tree, state: Tree) -> tuple[Any, Tree]:
        """Parameters of the policy for one observation of each row, and the next state of the memory."""
        features, state = one_step(self.encoder, obs, state)
        return self.params(features), state


class DeterministicActor(Actor):
    """Observations -> actions in [-1, 1] [B, A]."""

    def params(self, features: Tensor) -> Tensor:
        return super().params(features).tanh()


class GaussianActor(Actor):
    """Observations -> mean and log standard deviation, both [B, A], of the action before it is squashed."""

    def __init__(self, cfg: ReplayActorCriticConfig, obs_space: Any, n_actions: int):
        super().__init__(cfg, obs_space, 2 * n_actions)

    def params(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = super().params(features).chunk(2, dim=1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


class Critics(Heads):
    """Observations and actions [B, A] -> outputs of `n_critics` critics [B, n_critics, out].

    The state of sequences is the actor's: their own memory starts from nothing, and the burn-in brings it up to date.
    """

    def __init__(self, cfg: ReplayActorCriticConfig, obs_space: Any, n_actions: int, out_features: int = 1):
        """`n_actions` is 0 where the outputs are for each of the actions."""
        super().__init__(cfg, obs_space, "critic_layers", cfg.n_critics, out_features, n_actions)

    def features(self, obs: Tree) -> Tensor:
        if isinstance(obs, Sequences):
            obs = replace(obs, state=self.encoder.init_state(len(obs.reset)))
        return super().features(obs)

    def forward(self, obs: Tree, action: Tensor | None = None) -> Tensor:
        x = self.features(obs)
        if action is not None:
            x = torch.cat([x, action], dim=1)
        return torch.stack([head(x) for head in self.heads], dim=1)

    def first(self, obs: Tree, action: Tensor) -> Tensor:
        """Q_1(s, a) [B], without the price of the others."""
        q_value: Tensor = self.heads[0](torch.cat([self.features(obs), action], dim=1))
        return q_value.squeeze(1)


class Temperature(nn.Module):
    """alpha, by its logarithm, so that it stays positive."""

    def __init__(self, alpha: float):
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(alpha)))

    def forward(self) -> Tensor:
        """alpha, 0-d, for losses that do not train it."""
        return self.log_alpha.detach().exp()


def squashed_gaussian(params: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(u) with u = mean + std noise, all [B, A], and log pi(a|s) [B]; gradients flow through both."""
    mean, log_std = params
    u = mean + log_std.exp() * noise
    # log pi(a) = sum log N(u) - log(1 - tanh(u)^2), the latter as 2 (log 2 - u - softplus(-2u)), which never is log 0
    log_normal = -0.5 * noise.square() - log_std - _HALF_LOG_2PI
    log_prob = log_normal - 2 * (math.log(2) - u - F.softplus(-2 * u))
    return u.tanh(), log_prob.sum(1)

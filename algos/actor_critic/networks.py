"""Actors and critics over the features of an observation, and the squashed Gaussian of SAC and TQC."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.actor_critic.config import OffPolicyConfig
from algos.common.errors import UserError
from algos.common.masks import MASK, forbid, split_mask, without_mask
from algos.common.normalize import obs_norm
from algos.common.sequences import Sequences
from algos.common.trees import Tree, tree_map
from algos.networks.builder import Network, Stack
from algos.networks.custom import build_head, encoder_for
from algos.networks.entries import Observation
from algos.networks.spec import CARRY_STATE
from algos.networks.stacked import StackedNetworks, stack_apart
from algos.networks.state import one_step

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # the bounds of Haarnoja et al.
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Encoded:
    """Features [N, D] of observations, given in their place to networks that share an encoder."""

    features: Tree


class Heads(nn.Module):
    """Networks of one kind over a shared encoder. Without layers, the encoder only prepares the observation.

    Recurrent layers are in the encoder; a recurrent actor class counts as encoder. Called with `Sequences`, a network
    returns one row per learned step.
    """

    def __init__(
        self,
        cfg: OffPolicyConfig,
        obs_space: Any,
        action_space: Any,
        name: str,
        n_heads: int,
        out_features: int,
        meaning: str,
        n_inputs: int = 0,
        encoder: Network | None = None,
    ):
        """`name` (actor, critic) tells their layers or class in `cfg`; `n_inputs` numbers join the features.

        `encoder`: that of other heads, which these share.
        """
        super().__init__()
        self.warning = cfg.warning
        self.of_class = getattr(cfg, f"{name}_class", None) is not None
        obs_space, self.masked = split_mask(obs_space, action_space)  # a mask is no input
        self.norm = obs_norm(cfg.normalize_obs, obs_space)
        self.encoder = encoder_for(cfg, obs_space, name) if encoder is None else encoder
        heads = [
            build_head(cfg, name, self.encoder, action_space, out_features, meaning, n_inputs) for _ in range(n_heads)
        ]
        if any(head.recurrent for head in heads):
            if not (isinstance(self.encoder, Observation) and name == "actor"):
                key = f"algo_cfg.{name}_{'class' if self.of_class else 'layers'}"
                raise UserError(f"{key}: layers that {CARRY_STATE} belong in algo_cfg.merge_layers")
            (self.encoder,), heads = heads, [Network(None, Stack([]), out_features)]
        self.heads = nn.ModuleList(heads)
        self.parts = (self.encoder, *heads)
        self.recurrent = self.encoder.recurrent

    def features(self, obs: Tree) -> Tree:
        """Observations [N, ...], or sequences of N learned steps, -> [N, D]; the observation itself for a class."""
        if isinstance(obs, Encoded):
            return obs.features
        if not isinstance(obs, Sequences):
            return self.encoder(self.inputs(obs))
        sequences = replace(obs, obs=self.inputs(obs.obs))
        return tree_map(lambda leaf: leaf.flatten(0, 1), sequences.unroll(self.encoder))

    def inputs(self, obs: Tree) -> Tree:
        """Observations as the encoder takes them: without a mask, normalised."""
        obs = without_mask(obs) if self.masked else obs
        return obs if self.norm is None else self.norm(obs)

    def joined(self, features: Tree, action: Tensor | None) -> Tree:
        """What a head takes: features and action side by side, for a class the two of them."""
        if action is None:
            return features
        return (features, action) if self.of_class else torch.cat([features, action], dim=1)

    def reset_noise(self, generator: torch.Generator) -> None:
        """Fresh noise in noisy layers."""
        for part in self.parts:
            part.reset_noise(generator)


class Actor(Heads):
    """Observations -> parameters of the policy [B, out]: logits, say."""

    meaning = "a logit for each action"

    def __init__(self, cfg: OffPolicyConfig, obs_space: Any, action_space: Any, out_features: int):
        super().__init__(cfg, obs_space, action_space, "actor", 1, out_features, self.meaning)

    def forward(self, obs: Tree) -> Any:
        return self.params(self.features(obs))

    def params(self, features: Tree) -> Any:
        """Features [B, D] -> parameters of the policy."""
        return self.heads[0](features)

    def step(self, obs: Tree, state: Tree) -> tuple[Any, Tree]:
        """Parameters of the policy for one observation of each row, and the next state of the memory."""
        features, state = one_step(self.encoder, self.inputs(obs), state)
        return self.params(features), state


class CategoricalActor(Actor):
    """Observations -> logits of the actions [B, K]; those of forbidden ones are FORBIDDEN."""

    def forward(self, obs: Tree) -> Any:
        logits = super().forward(obs)
        if not self.masked:
            return logits
        return forbid(logits, obs.learned(MASK) if isinstance(obs, Sequences) else obs[MASK])

    def step(self, obs: Tree, state: Tree) -> tuple[Any, Tree]:
        logits, state = super().step(obs, state)
        return (forbid(logits, obs[MASK]) if self.masked else logits), state


class DeterministicActor(Actor):
    """Observations -> actions in [-1, 1] [B, A]."""

    meaning = "the action before tanh"

    def params(self, features: Tree) -> Tensor:
        return super().params(features).tanh()


class GaussianActor(Actor):
    """Observations -> mean and log standard deviation, both [B, A], of the action before it is squashed."""

    meaning = "means, then log standard deviations"

    def __init__(self, cfg: OffPolicyConfig, obs_space: Any, action_space: Any, n_actions: int):
        super().__init__(cfg, obs_space, action_space, 2 * n_actions)

    def params(self, features: Tree) -> tuple[Tensor, Tensor]:
        mean, log_std = super().params(features).chunk(2, dim=1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


class Critics(Heads):
    """Observations and actions [B, A] -> outputs of `n_critics` critics [B, n_critics, out].

    Critics of linear layers are one stack. The stored state of a sequence is the actor's; the critics start from the
    initial state, which the burn-in warms up.
    """

    def __init__(
        self,
        cfg: OffPolicyConfig,
        obs_space: Any,
        action_space: Any,
        n_actions: int,
        out_features: int = 1,
        encoder: Network | None = None,
    ):
        """`n_actions` is 0 if the outputs are for each of the actions."""
        meaning = "Q values of an observation and its action" if n_actions else "a Q value for each action"
        super().__init__(
            cfg, obs_space, action_space, "critic", cfg.n_critics, out_features, meaning, n_actions, encoder
        )
        heads = cast(Sequence[Network], self.heads)
        self.stack = StackedNetworks(heads) if StackedNetworks.fit(heads) else None
        if self.stack is not None:
            self.heads, self.parts = nn.ModuleList(), (self.encoder,)
            self.register_load_state_dict_pre_hook(_stack_heads)

    def features(self, obs: Tree) -> Tree:
        if isinstance(obs, Sequences):
            obs = replace(obs, state=self.encoder.init_state(len(obs.reset)))
        return super().features(obs)

    def forward(self, obs: Tree, action: Tensor | None = None) -> Tensor:
        return self.outputs(self.features(obs), action)

    def outputs(self, features: Tree, action: Tensor | None = None) -> Tensor:
        """Features, and actions, -> outputs of the critics [B, n_critics, out]."""
        x = self.joined(features, action)
        if self.stack is not None:
            return cast(Tensor, self.stack(x))
        return torch.stack([head(x) for head in self.heads], dim=1)

    def of_choice(self, obs: Tree, action: Tensor) -> Tensor:
        """Values [B, n_critics] of the action [B] of each row, from critics with an output for each action."""
        q_values = self(obs)  # [B, n_critics, K]
        return cast(Tensor, q_values.gather(2, action.view(-1, 1, 1).expand(-1, q_values.shape[1], 1)).squeeze(2))

    def of_each(self, obs: Tree, action: Tensor) -> Tensor:
        """Several actions for each observation [B, N, A] -> outputs [B, N, n_critics, out]."""
        features = repeated(self.features(obs), action.shape[1])
        return self.outputs(features, action.flatten(0, 1)).unflatten(0, action.shape[:2])

    def first(self, obs: Tree, action: Tensor) -> Tensor:
        """Q_1(s, a) [B], without the price of the others."""
        x = self.joined(self.features(obs), action)
        q_value: Tensor = self.heads[0](x) if self.stack is None else self.stack.first(x)
        return q_value.squeeze(1)


def _stack_heads(critics: Critics, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Older versions saved each critic by itself."""
    if critics.stack is not None:
        stack_apart(critics.stack, state, f"{prefix}heads.", f"{prefix}stack.")


class Temperature(nn.Module):
    """alpha, by its logarithm, so that it stays positive."""

    def __init__(self, alpha: float):
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(alpha)))

    def forward(self) -> Tensor:
        """alpha, 0-d, for losses that do not train it."""
        return self.log_alpha.detach().exp()


def repeated(rows: Tree, n: int) -> Tree:
    """Each of the rows [B, ...] n times in succession: [B n, ...]."""
    return tree_map(lambda leaf: leaf.unsqueeze(1).expand(-1, n, *leaf.shape[1:]).flatten(0, 1), rows)


def squashed_gaussian(params: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(u) with u = mean + std noise, all [B, A], and log pi(a|s) [B]; gradients flow through both."""
    mean, log_std = params
    u = mean + log_std.exp() * noise
    return u.tanh(), _log_prob(u, noise, log_std)


INSIDE = 0.999  # of the bounds: at the bounds themselves a squashed Gaussian has no density


def squashed_log_prob(params: tuple[Tensor, Tensor], action: Tensor) -> Tensor:
    """log pi(a|s) [B] of actions [B, A], those at a bound taken just inside it: a = tanh(u), u = mean + std noise."""
    mean, log_std = params
    u = action.clamp(-INSIDE, INSIDE).atanh()
    return _log_prob(u, (u - mean) * (-log_std).exp(), log_std)


def _log_prob(u: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
    # log pi(a) = sum log N(u) - log(1 - tanh(u)^2), the latter as 2 (log 2 - u - softplus(-2u)), which never is log 0
    log_normal = -0.5 * noise.square() - log_std - _HALF_LOG_2PI
    log_prob = log_normal - 2 * (math.log(2) - u - F.softplus(-2 * u))
    return log_prob.sum(1)

"""Actor and critic over one encoder, and the policy that samples from them."""

from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.base import Policy, counted_from, obs_to_tensors
from algos.common.distributions import Distribution, head_meaning, head_size, make_distribution, sizes_of
from algos.common.errors import UserError
from algos.common.masks import MASK, forbid, split_mask
from algos.common.normalize import obs_norm
from algos.common.trees import Tree, tree_map
from algos.networks.builder import Network, orthogonal_
from algos.networks.custom import build_head, encoder_for
from algos.networks.entries import own_log_std
from algos.networks.state import one_step

PIECE = 2048  # rows of a rollout that are valued at once: images take room


class ActorCritic(nn.Module):
    """A distribution of actions and a value for each observation; shared layers are in the encoder.

    Without branch_layers and merge_layers the encoder only prepares the observation: actor and critic are apart.
    A class of the user's (`actor_class`, `critic_class`) then takes the observation itself.
    Without a critic (`critic` false) all values are 0. A Dict observation's "action_mask" is no input: it rules out
    actions, when acting and learning alike.
    """

    def __init__(self, cfg: Any, obs_space: Any, action_space: Any, critic: bool = True):
        """`cfg` is an OnPolicyConfig, or without a critic whatever has an actor's settings of these names."""
        super().__init__()
        self.action_space, self.sizes, self.warning = action_space, sizes_of(action_space), cfg.warning
        obs_space, self.masked = split_mask(obs_space, action_space)
        self.norm = obs_norm(cfg.normalize_obs, obs_space)
        self.encoder = encoder_for(cfg, obs_space, "actor", *(["critic"] if critic else []))
        size, meaning = self.head(action_space)
        self.actor = build_head(cfg, "actor", self.encoder, action_space, size, meaning)
        self.critic = build_head(cfg, "critic", self.encoder, action_space, 1, "the value") if critic else None
        if cfg.ortho_init:
            orthogonal_(self.encoder, gain=2**0.5, head_gain=2**0.5)
            orthogonal_(self.actor, gain=2**0.5, head_gain=0.01)
            if self.critic is not None:
                orthogonal_(self.critic, gain=2**0.5, head_gain=1.0)
        self.log_std = None
        self.actor_has_std = isinstance(action_space, spaces.Box) and _holds_log_std(self.actor, size)
        if isinstance(action_space, spaces.Box) and not self.actor_has_std:
            self.log_std = nn.Parameter(torch.full((size,), float(cfg.log_std_init)))
        self.parts = tuple(part for part in (self.encoder, self.actor, self.critic) if part is not None)
        self.recurrent = any(part.recurrent for part in self.parts)
        shared = next(self.encoder.parameters(), None) is not None
        self.critic_apart = self.critic is not None and not shared and not self.recurrent

    def head(self, action_space: spaces.Space[Any]) -> tuple[int, str]:
        """How many parameters of the distribution the actor gives, and what they are."""
        return head_size(action_space), head_meaning(action_space)

    def forward(self, obs: Tree) -> tuple[Tensor, Tensor]:
        """Observations [B, ...] -> parameters of the distribution [B, P] and values [B]; without memory."""
        features = self.encoder(self.normalized(obs))
        params = self.allowed(self.actor(features), obs)
        if self.critic is None:
            return params, params.new_zeros(len(params))
        return params, self.critic(features).squeeze(-1)

    def value(self, obs: Tree) -> Tensor:
        """Observations [B, ...] -> values [B]; without memory."""
        assert self.critic is not None
        return cast(Tensor, self.critic(self.encoder(self.normalized(obs))).squeeze(-1))

    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tensor, Tensor, Tree]:
        """Sequences [B, T, ...] -> parameters [B, T, P] and values [B, T], and the state after them."""
        features, encoder_state = self.encoder.unroll(self.normalized(obs), state[0], reset)
        params, actor_state = self.actor.unroll(features, state[1], reset)
        params = self.allowed(params, obs)
        if self.critic is None:
            return params, params.new_zeros(params.shape[:2]), (encoder_state, actor_state)
        value, critic_state = self.critic.unroll(features, state[2], reset)
        return params, value.squeeze(-1), (encoder_state, actor_state, critic_state)

    def actor_step(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        """Parameters for one observation of each row, and the next state of what acts: the critic is left out."""
        features, encoder_state = one_step(self.encoder, self.normalized(obs), state[0])
        params, actor_state = one_step(self.actor, features, state[1])
        return self.allowed(params, obs), (encoder_state, actor_state)

    def normalized(self, obs: Tree) -> Tree:
        """Observations as the encoder takes them."""
        return obs if self.norm is None else self.norm(obs)

    def update_norm(self, obs: Tree) -> None:
        """Let the statistics of observations take in a batch."""
        if self.norm is not None:
            self.norm.update(obs)

    def allowed(self, params: Tensor, obs: Tree) -> Tensor:
        """Logits with those of forbidden actions set to FORBIDDEN."""
        return forbid(params, obs[MASK]) if self.masked else params

    def distribution(self, params: Tensor) -> Distribution:
        """The actions' distribution from the actor's output."""
        log_std = own_log_std(self.actor) if self.actor_has_std else self.log_std
        return make_distribution(self.action_space, params, log_std, self.sizes)

    def init_state(self, n: int) -> Tree:
        """State before the first observation; () without memory."""
        return tuple(part.init_state(n) for part in self.parts) if self.recurrent else ()

    def reset_noise(self, generator: torch.Generator) -> None:
        """Fresh noise in noisy layers."""
        for part in self.parts:
            part.reset_noise(generator)


class ActorCriticPolicy(Policy):
    """Samples actions when exploring, takes the most likely ones otherwise; log_prob and value are extras of a rollout.

    log_prob is asked for the whole rollout at once, for the actions that were executed; so is a critic that shares
    nothing with the actor.
    """

    net: ActorCritic

    def __init__(self, net: ActorCritic, action_space: spaces.Space[Any], device: str):
        super().__init__(net, device)
        self.action_space = action_space
        self.critic_later = net.critic_apart and not (self.noisy or self.modal)  # noise is another at each step

    def init_state(self, n: int) -> Tree:
        return tree_map(lambda leaf: leaf.to(self.device), self.net.init_state(n))

    @torch.inference_mode()
    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        if self.critic_later:
            params, _ = self.net.actor_step(obs_to_tensors(obs, self.device), ((), ()))
        else:
            with self.noise_and_dropout(explore):
                params, value, state = self._forward(obs, state)
        dist = self.net.distribution(params)
        if not explore:
            return dist.mode().cpu().numpy(), {}, state
        action = dist.sample(self.generator)
        extras = {"params": params.cpu().numpy()}
        if not self.critic_later:
            extras["value"] = value.cpu().numpy()
        return action.cpu().numpy(), extras, state

    @torch.inference_mode()
    def rollout_extras(self, obs: Tree, action: np.ndarray, extras: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "params" not in extras:  # nothing was explored
            return extras
        params, taken = obs_to_tensors((extras["params"], action), self.device)
        log_prob = self.net.distribution(params).log_prob(taken)
        rest = {name: column for name, column in extras.items() if name != "params"}
        if "value" not in rest:
            rest["value"] = self._values(obs, log_prob)
        return {**rest, "log_prob": log_prob.cpu().numpy()}

    def _values(self, obs: Tree, like: Tensor) -> np.ndarray:
        """The critic's values of a rollout [T, N], in pieces."""
        rows = tree_map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), obs)
        pieces = (tree_map(lambda leaf, at=at: leaf[at : at + PIECE], rows) for at in range(0, like.numel(), PIECE))
        values = [self.net.value(obs_to_tensors(piece, self.device)) for piece in pieces]
        return torch.cat(values).reshape(like.shape).cpu().numpy()

    def greedy_state(self, n: int) -> Tree:
        return self.net.encoder.init_state(n), self.net.actor.init_state(n)

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        params, state = self.net.actor_step(obs, state)
        return self._to_env(self.net.distribution(params).mode()), state

    @torch.inference_mode()
    def bootstrap(self, obs: Tree, state: Tree) -> np.ndarray:
        if self.critic_later:
            return self.net.value(obs_to_tensors(obs, self.device)).cpu().numpy()
        with self.noise_and_dropout(False):
            return self._forward(obs, state)[1].cpu().numpy()

    def _forward(self, obs: Tree, state: Tree) -> tuple[Tensor, Tensor, Tree]:
        """The actor's output and the value for one step of each environment, and the next state."""
        (params, value), state = one_step(self.net, obs_to_tensors(obs, self.device), state)
        return params, value, state

    def env_action(self, action: np.ndarray) -> np.ndarray:
        """Box: clipped to the bounds; Box, MultiBinary: in the space's shape; else counted from the space's start."""
        space = self.action_space
        if isinstance(space, spaces.Box):
            return np.clip(action.reshape(-1, *space.shape), space.low, space.high).astype(space.dtype)
        if isinstance(space, spaces.MultiBinary):
            return action.reshape(-1, *space.shape).astype(space.dtype, copy=False)
        return counted_from(action, space.start, space.dtype)  # type: ignore[attr-defined]  # both others have a start

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        space = self.action_space
        if isinstance(space, spaces.Box | spaces.MultiBinary):
            return env_action.reshape(len(env_action), -1).astype(np.float32)
        return env_action.astype(np.int64) - space.start  # type: ignore[attr-defined]

    def _to_env(self, action: Tensor) -> Tensor:
        """`env_action` of a tensor."""
        space = self.action_space
        if isinstance(space, spaces.Box):
            low, high = torch.from_numpy(space.low), torch.from_numpy(space.high)
            return action.reshape(-1, *space.shape).clamp(low, high).to(low.dtype)
        if isinstance(space, spaces.MultiBinary):
            return action.reshape(-1, *space.shape)
        return action + torch.as_tensor(space.start)  # type: ignore[attr-defined]


def _holds_log_std(actor: Network, size: int) -> bool:
    """Whether a class of the user's brings log standard deviations of its own; UserError if they are not [size]."""
    found = own_log_std(actor)
    if found is not None and found.shape != (size,):
        raise UserError(f"algo_cfg.actor_class: its log_std has shape {list(found.shape)}, expected [{size}]")
    return found is not None

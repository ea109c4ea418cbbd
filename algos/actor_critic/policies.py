"""Policies of the actor-critics: uniform random at first, then the actor, with noise when exploring."""

from abc import abstractmethod
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from algos.actor_critic.config import OffPolicyConfig
from algos.actor_critic.networks import Actor, squashed_gaussian
from algos.base import Policy, counted_from, obs_to_tensors
from algos.common.distributions import Categorical, any_allowed
from algos.common.errors import UserError
from algos.common.masks import MASK
from algos.common.schedule import Schedule
from algos.common.trees import Tree, tree_leaves, tree_map


class ReplayPolicy(Policy):
    """Uniform random actions before `random_steps` env steps, then those of the network.

    The state is that of the exploration noise; with recurrent layers, a pair of the network's state and that.
    """

    net: Actor

    def __init__(self, net: Actor, cfg: OffPolicyConfig, device: str):
        super().__init__(net, device)
        self.random_steps = cfg.first_policy_step

    def init_state(self, n: int) -> Tree:
        noise = self.init_noise(n)
        if not self.net.recurrent:
            return noise
        return tree_map(lambda leaf: leaf.to(self.device), self.net.encoder.init_state(n)), noise

    def init_noise(self, n: int) -> Tree:
        """State of the noise at the start of an episode."""
        return ()

    @torch.inference_mode()
    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        at_random = explore and step < self.random_steps
        if at_random and not self.net.recurrent:
            return self.random(obs, len(tree_leaves(obs)[0])).cpu().numpy(), {}, state
        memory, noise = state if self.net.recurrent else ((), state)
        with self.noise_and_dropout(explore):
            params, memory = self.net.step(obs_to_tensors(obs, self.device), memory)
        if at_random:
            action = self.random(obs, len(tree_leaves(obs)[0]))
        elif not explore:
            action = self.greedy(params)
        else:
            action, noise = self.explore(params, noise, step)
        return action.cpu().numpy(), {}, (memory, noise) if self.net.recurrent else noise

    def greedy_state(self, n: int) -> Tree:
        return self.init_state(n)[0] if self.net.recurrent else ()

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        params, state = self.net.step(obs, state)
        return self.scaled(self.greedy(params)), state

    @abstractmethod
    def scaled(self, action: Tensor) -> Tensor:
        """`env_action` of a tensor."""

    @abstractmethod
    def random(self, obs: Tree, rows: int) -> Tensor:
        """Uniform random actions [N, ...], of those allowed."""

    @abstractmethod
    def greedy(self, params: Any) -> Tensor:
        """The best actions [N, ...] by the network's output."""

    @abstractmethod
    def explore(self, params: Any, state: Tree, step: int) -> tuple[Tensor, Tree]:
        """Actions to learn from [N, ...], and the state of the noise."""


class BoxPolicy(ReplayPolicy):
    """Acts in [-1, 1]^A; the environment gets the actions scaled to the Box's bounds.

    With `noise_correlation` c the noise is e_t = c e_{t-1} + sqrt(1 - c^2) N(0, 1), from 0 at an episode's start: a
    discrete Ornstein-Uhlenbeck process with variance 1, for tasks in which independent noise explores too little.
    """

    def __init__(self, net: Actor, action_space: spaces.Box, cfg: OffPolicyConfig, device: str):
        super().__init__(net, cfg, device)
        self.low, self.high, self.shape = action_space.low, action_space.high, action_space.shape
        self.size = int(np.prod(action_space.shape))
        self.correlation = getattr(cfg, "noise_correlation", 0.0)  # what learns from a dataset lacks it

    def init_noise(self, n: int) -> Tree:
        return (torch.zeros(n, self.size, device=self.device),) if self.correlation else ()

    def random(self, obs: Tree, rows: int) -> Tensor:
        return 2 * torch.rand(rows, self.size, generator=self.generator, device=self.device) - 1

    def noise(self, rows: int, state: Tree) -> tuple[Tensor, Tree]:
        """Normal noise [N, A], correlated with that of the last step if `noise_correlation` is set."""
        noise = torch.randn(rows, self.size, generator=self.generator, device=self.device)
        if not self.correlation:
            return noise, state
        noise = self.correlation * state[0] + (1 - self.correlation**2) ** 0.5 * noise
        return noise, (noise,)

    def env_action(self, action: np.ndarray) -> np.ndarray:
        share = 0.5 * (action.reshape(-1, *self.shape) + 1)
        scaled = self.low + share * (self.high - self.low)
        return np.clip(scaled, self.low, self.high).astype(self.low.dtype)  # clipped: rounding may go past a bound

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        share = (env_action - self.low) / (self.high - self.low)
        return np.clip(2 * share - 1, -1, 1).astype(np.float32).reshape(len(env_action), -1)

    def scaled(self, action: Tensor) -> Tensor:
        low, high = torch.from_numpy(self.low), torch.from_numpy(self.high)
        share = 0.5 * (action.reshape(-1, *self.shape) + 1)
        return (low + share * (high - low)).clamp(low, high).to(low.dtype)


class NoisyPolicy(BoxPolicy):
    """A deterministic actor with Gaussian noise."""

    def __init__(
        self, net: Actor, action_space: spaces.Box, cfg: OffPolicyConfig, device: str, total_steps: int | None
    ):
        super().__init__(net, action_space, cfg, device)
        self.scale = Schedule(getattr(cfg, "exploration_noise", 0.0), total_steps, "algo_cfg.exploration_noise")

    def greedy(self, params: Any) -> Tensor:
        return cast(Tensor, params)

    def explore(self, params: Any, state: Tree, step: int) -> tuple[Tensor, Tree]:
        noise, state = self.noise(len(params), state)
        return (params + self.scale(step) * noise).clamp(-1, 1), state


class SquashedGaussianPolicy(BoxPolicy):
    """Samples from a squashed Gaussian; its mean, squashed, is the greedy action."""

    def greedy(self, params: Any) -> Tensor:
        return cast(Tensor, params[0].tanh())

    def explore(self, params: Any, state: Tree, step: int) -> tuple[Tensor, Tree]:
        noise, state = self.noise(len(params[0]), state)
        return squashed_gaussian(params, noise)[0], state


class CategoricalPolicy(ReplayPolicy):
    """Samples one of K actions by its logits, counted from 0; the environment's count from the space's start."""

    def __init__(self, net: Actor, action_space: spaces.Discrete, cfg: OffPolicyConfig, device: str):
        super().__init__(net, cfg, device)
        self.n_actions, self.first = int(action_space.n), int(action_space.start)
        self.env_type = action_space.dtype

    def random(self, obs: Tree, rows: int) -> Tensor:
        if self.net.masked:
            return any_allowed(torch.from_numpy(obs[MASK]).to(self.device), self.generator)
        return torch.randint(self.n_actions, (rows,), generator=self.generator, device=self.device)

    def greedy(self, params: Any) -> Tensor:
        return cast(Tensor, params.argmax(1))

    def explore(self, params: Any, state: Tree, step: int) -> tuple[Tensor, Tree]:
        return Categorical(params).sample(self.generator), state

    def scaled(self, action: Tensor) -> Tensor:
        return action + self.first

    def env_action(self, action: np.ndarray) -> np.ndarray:
        return counted_from(action, self.first, self.env_type)

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        return env_action.astype(np.int64, copy=False) - self.first


def check_bounds(action_space: spaces.Box, name: str) -> None:
    """Raise UserError for a Box of integers or without finite bounds, to which [-1, 1] cannot be scaled."""
    if not (action_space.dtype.kind == "f" and action_space.is_bounded()):
        raise UserError(
            f"{name} needs continuous actions with finite bounds, but the environment has {action_space}; "
            "add a wrapper in env_cfg.wrappers"
        )

"""Policies of a Q network: epsilon-greedy and Boltzmann."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from algos.base import Policy, counted_from, obs_to_tensors
from algos.common.distributions import Categorical, any_allowed
from algos.common.masks import MASK
from algos.common.schedule import epsilon_at
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.networks.state import one_step
from algos.value.config import EpsilonConfig, QConfig, SoftQConfig
from algos.value.networks import QNetwork


class EpsilonGreedy(Policy):
    """The action of the highest value, or a random one with a probability that decays with the global step."""

    net: QNetwork

    def __init__(self, net: QNetwork, action_space: spaces.Discrete, cfg: QConfig, device: str):
        super().__init__(net, device)
        self.n_actions, self.first = int(action_space.n), int(action_space.start)
        self.env_type = action_space.dtype
        self.cfg = cfg

    def init_state(self, n: int) -> Tree:
        return tree_map(lambda leaf: leaf.to(self.device), self.net.init_state(n))

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        mask = self.random_mask(len(tree_leaves(obs)[0]), step) if explore else None
        count = 0 if mask is None else np.count_nonzero(mask)
        if mask is None or not count:
            action, state = self.forward(obs, state, explore)
            return action, {}, state
        random = self.random(obs, len(mask))
        if count == len(mask) and not self.net.recurrent:
            return random, {}, state  # no row asks the network, and it has no memory to keep up to date
        action, state = self.forward(obs, state, explore)
        return np.where(mask, random, action), {}, state

    def random(self, obs: Tree, rows: int) -> np.ndarray:
        """Uniform random actions [N], of those allowed."""
        if self.net.masked:
            allowed = torch.from_numpy(obs[MASK]).to(self.device)
            return any_allowed(allowed, self.generator).cpu().numpy()
        action = torch.randint(self.n_actions, (rows,), generator=self.generator, device=self.device)
        return action.cpu().numpy()

    def random_mask(self, rows: int, step: int) -> np.ndarray | None:
        """Mask of the rows [N] whose action is random, each with probability epsilon; None where epsilon is 0."""
        epsilon = self.epsilon(step)
        if epsilon == 0.0:
            return None
        dice: np.ndarray = torch.rand(rows, generator=self.generator, device=self.device).cpu().numpy()
        return dice < epsilon

    @torch.inference_mode()
    def forward(self, obs: Tree, state: Tree, explore: bool) -> tuple[np.ndarray, Tree]:
        """Forward pass: the network's actions [N] and its next state; exploring, noisy layers have fresh noise."""
        tensors = obs_to_tensors(obs, self.device)
        with self.noise_and_dropout(explore):
            q_value, state = one_step(self.net, tensors, state)
        return self.select(q_value, explore).cpu().numpy(), state

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        q_value, state = one_step(self.net, obs, state)
        return self.select(q_value, False) + self.first, state

    def select(self, q_value: Tensor, explore: bool) -> Tensor:
        """Actions [N] for values [N, A]."""
        return q_value.argmax(1)

    def epsilon(self, step: int) -> float:
        """Fraction of random actions after `step` environment steps; noisy layers explore by themselves.

        What learns from a dataset has no epsilon.
        """
        cfg = self.cfg
        if cfg.noisy or not isinstance(cfg, EpsilonConfig):
            return 0.0
        return epsilon_at(step, cfg.epsilon_start, cfg.epsilon_end, cfg.epsilon_decay, cfg.epsilon_schedule)

    def progress(self, step: int) -> dict[str, float]:
        return {"eps": self.epsilon(step)}

    def env_action(self, action: np.ndarray) -> np.ndarray:
        return counted_from(action, self.first, self.env_type)

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        return env_action.astype(np.int64, copy=False) - self.first


class Boltzmann(EpsilonGreedy):
    """Explores with actions of probability softmax(Q / temperature)."""

    cfg: SoftQConfig

    def select(self, q_value: Tensor, explore: bool) -> Tensor:
        if not explore:
            return super().select(q_value, explore)
        return Categorical(q_value / self.cfg.temperature).sample(self.generator)

"""Noise on the actions of a model that collects."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from algos.base import Algorithm, Policy
from algos.common.errors import UserError
from algos.common.masks import choices_of, is_masked
from algos.common.trees import Tree


class Noisy(Policy):
    """Acts like an algorithm's policy, with noise on what the environment takes.

    Box: + N(0, `noise` * half of the range), clipped. Other actions: each is random with probability `noise`.
    UserError for actions without bounds, for trees of actions, and for action masks, which it would break.
    """

    def __init__(self, algorithm: Algorithm, noise: float):
        super().__init__(algorithm.evaluated.net, algorithm.evaluated.device)
        self.policy, self.space, self.noise = algorithm.evaluated, algorithm.action_space, noise
        self.name = f"general_cfg.collect_noise={noise:g}"
        if isinstance(self.space, spaces.Box):
            if not self.space.is_bounded():
                raise UserError(f"{self.name} is a share of the action's range, but {self.space} has no bounds")
        elif not choices_of(self.space):
            raise UserError(f"{self.name} does not work with actions of {self.space}")
        elif is_masked(algorithm.obs_space):
            raise UserError(f"{self.name} does not work with action masks: a random action may be forbidden")

    def fork(self, seed: int) -> "Noisy":
        twin = super().fork(seed)
        assert isinstance(twin, Noisy)
        twin.policy = self.policy.fork(seed)
        twin.policy.generator = twin.generator  # one stream, which a checkpoint keeps
        return twin

    def init_state(self, n: int) -> Tree:
        return self.policy.init_state(n)

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        return self.policy.act(obs, state, explore=explore, step=step)

    def env_action(self, action: np.ndarray) -> np.ndarray:
        """The policy's action [N, ...] with noise."""
        chosen = self.policy.env_action(action)
        if isinstance(self.space, spaces.Box):
            half = (self.space.high - self.space.low) / 2
            noisy = chosen + self._drawn(torch.randn, chosen.shape) * half * self.noise
            return np.clip(noisy, self.space.low, self.space.high).astype(self.space.dtype)
        first: Any = getattr(self.space, "start", 0)
        number = np.array(choices_of(self.space)).reshape(chosen.shape[1:] or ())
        at_random = first + np.floor(self._drawn(torch.rand, chosen.shape) * number)
        replaced = self._drawn(torch.rand, chosen.shape) < self.noise
        return np.where(replaced, at_random, chosen).astype(chosen.dtype)

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        return self.policy.policy_action(env_action)

    def _drawn(self, draw: Any, shape: tuple[int, ...]) -> np.ndarray:
        drawn: np.ndarray = draw(shape, generator=self.generator, device=self.device).cpu().numpy()
        return drawn

    def rollout_extras(self, obs: Tree, action: np.ndarray, extras: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.policy.rollout_extras(obs, action, extras)

    def bootstrap(self, obs: Tree, state: Tree) -> np.ndarray | None:
        return self.policy.bootstrap(obs, state)

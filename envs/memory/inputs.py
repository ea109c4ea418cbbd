"""What a recurrent policy may see beside the observation: its last action and reward."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError


class MemoryInputs(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """The observation becomes a Dict of those parts that `inputs` names: "obs", "action", "reward".

    "action" is the last action as a float vector (one-hot for Discrete and MultiDiscrete), "reward" the last one [1];
    both are 0 at an episode's start. A Dict observation keeps its keys, among which the two must not be.
    """

    def __init__(self, env: gym.Env, inputs: Sequence[str]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, inputs=inputs)
        gym.Wrapper.__init__(self, env)
        self._inputs = tuple(inputs)
        observed = env.observation_space
        self._is_dict = isinstance(observed, spaces.Dict)
        parts: dict[str, spaces.Space[Any]] = {}
        if "obs" in inputs:
            parts = dict(observed.spaces) if isinstance(observed, spaces.Dict) else {"obs": observed}
        if "action" in inputs:
            if not env.action_space.is_np_flattenable:
                raise UserError(f"env_cfg.memory_inputs: an action of {env.action_space} cannot be made into a vector")
            size = spaces.flatdim(env.action_space)
            low, high = self._bounds(env.action_space, size)
            self._add(parts, "action", spaces.Box(low, high, (size,), np.float32))
        if "reward" in inputs:
            self._add(parts, "reward", spaces.Box(-np.inf, np.inf, (1,), np.float32))
        self.observation_space = spaces.Dict(parts)

    @staticmethod
    def _bounds(space: spaces.Space[Any], size: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the last action, or of 0 if there was none."""
        flat = spaces.flatten_space(space)
        assert isinstance(flat, spaces.Box)
        zero = np.zeros(size, np.float32)
        return np.minimum(flat.low, zero).astype(np.float32), np.maximum(flat.high, zero).astype(np.float32)

    @staticmethod
    def _add(parts: dict[str, spaces.Space[Any]], key: str, space: spaces.Space[Any]) -> None:
        if key in parts:
            raise UserError(f"env_cfg.memory_inputs: the observation already has a part {key!r}")
        parts[key] = space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first observation, with no action and no reward before it."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._joined(obs, None, 0.0), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; the observation tells of it."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._joined(obs, action, float(reward)), reward, terminated, truncated, info

    def _joined(self, obs: Any, action: Any, reward: float) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if "obs" in self._inputs:
            parts = dict(obs) if self._is_dict else {"obs": obs}
        if "action" in self._inputs:
            shape = self.observation_space["action"].shape  # type: ignore[index]
            flat = np.zeros(shape) if action is None else spaces.flatten(self.env.action_space, action)
            parts["action"] = np.asarray(flat, np.float32)
        if "reward" in self._inputs:
            parts["reward"] = np.array([reward], np.float32)
        return parts

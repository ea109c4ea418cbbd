"""What a learning algorithm needs to know of an environment, read from the environment itself."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env


def create_env_config(env_id: str) -> dict[str, Any]:
    """Name, sizes and episode limit of a registered environment.

    `state_dim`: size of a flat Box, shape of any other, n of a Discrete, and the same by entry for Dict and Tuple.
    `action_dim`: number of actions, or size of a Box. `max_episode_steps` is None without a limit.
    Raises UserError for an id that is not registered.
    """
    env = make_env(EnvConfig(id=env_id))
    try:
        return {
            "env_name": env_id,
            "state_dim": _size(env.observation_space),
            "action_dim": _size(env.action_space, flat=True),
            "continuous_actions": isinstance(env.action_space, spaces.Box),
            "max_episode_steps": None if env.spec is None else env.spec.max_episode_steps,
        }
    finally:
        env.close()


def _size(space: gym.Space, flat: bool = False) -> Any:
    if isinstance(space, spaces.Box):
        return int(np.prod(space.shape)) if flat or len(space.shape) == 1 else tuple(space.shape)
    if isinstance(space, (spaces.Discrete, spaces.MultiBinary)):
        size = np.asarray(space.n)
        return tuple(size.tolist()) if size.ndim else int(size)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(np.asarray(space.nvec).tolist())
    if isinstance(space, spaces.Dict):
        return {key: _size(inner, flat) for key, inner in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_size(inner, flat) for inner in space.spaces)
    raise UserError(f"a space of kind {type(space).__name__} has no size: {space}")

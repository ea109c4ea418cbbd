"""An environment object of the user's: whether it is one, whether it is open, and as a vector."""

from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from algos.common.errors import UserError
from envs.check import check_spaces
from envs.judge import NO_ENV
from envs.resuming.resumable import Resumable
from envs.vectors.rsl import RslVector, is_rsl
from envs.vectors.stepped import SyncVector


def check_object(env: Any) -> None:
    """Raise UserError for an object that is no environment, or lacks its spaces."""
    name = type(env).__name__
    if isinstance(env, type):
        raise UserError(f"expected an environment, got the class {env.__name__}: make one of it first")
    if not isinstance(env, gym.Env | VectorEnv):
        if is_rsl(env):
            return
        raise UserError(f"expected a gymnasium.Env or gymnasium.vector.VectorEnv, got {name}: it {NO_ENV.format(name)}")
    check_spaces(env, f"the environment {name}")


def is_closed(env: Any) -> bool:
    """Whether an environment object was closed: vectors know it, and gymnasium.make's outer wrappers."""
    if getattr(env, "closed", False) is True:
        return True
    if isinstance(env, SyncVectorEnv):
        return any(is_closed(one) for one in env.envs)
    while isinstance(env, gym.Wrapper):
        if vars(env).get("close_called", False):
            return True
        env = env.env
    return False


def as_vector_env(env: gym.Env | VectorEnv) -> VectorEnv:
    """A Gymnasium environment as a vector of one; one in the manner of rsl_rl behind an adapter; a vector as it is.

    Raises UserError for what is no environment, and for a vector that does not reset in the step that ends an episode.
    """
    check_object(env)
    if isinstance(env, gym.Env):
        return SyncVector([lambda: env if isinstance(env, Resumable) else Resumable(env)])
    if not isinstance(env, VectorEnv):
        return RslVector(env)
    mode = env.metadata.get("autoreset_mode")
    if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value):
        raise UserError(
            f"{type(env).__name__} has autoreset mode {getattr(mode, 'value', mode)}: "
            "make it with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
        )
    inner = env.unwrapped
    if isinstance(inner, SyncVectorEnv):
        inner.envs = [one if isinstance(one, Resumable) else Resumable(one) for one in inner.envs]
    return env

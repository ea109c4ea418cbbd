import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from algos.common.errors import UserError
from envs.given import as_vector_env, is_closed
from envs.resuming.resumable import Resumable


def test_as_vector_env():
    venv = as_vector_env(gym.make("CartPole-v1"))
    assert venv.num_envs == 1 and isinstance(venv.envs[0], Resumable)
    late = gym.make_vec("CartPole-v1", 2)
    with pytest.raises(UserError, match=r"NextStep.*SAME_STEP"):
        as_vector_env(late)
    same = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": "SameStep"})
    assert as_vector_env(same) is same
    with pytest.raises(UserError, match="got str"):
        as_vector_env("CartPole-v1")


class NoSpaces(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (gym.Env, "got the class Env: make one"),
        (3, "got int"),
        (NoSpaces(), "the environment NoSpaces has no action_space"),
    ],
)
def test_what_is_no_environment_is_told(env, told):
    with pytest.raises(UserError, match=told):
        as_vector_env(env)


def make():
    return gym.make("CartPole-v1")


@pytest.mark.parametrize(
    "build",
    [
        make,
        lambda: as_vector_env(make()),
        lambda: SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP),
        lambda: gym.vector.AsyncVectorEnv([make], autoreset_mode=AutoresetMode.SAME_STEP),
    ],
)
def test_whether_it_is_closed(build):
    env = build()
    assert not is_closed(env)
    env.close()
    assert is_closed(env)


def test_one_closed_environment_within_a_vector():
    venv = as_vector_env(make())
    venv.envs[0].close()
    assert is_closed(venv)

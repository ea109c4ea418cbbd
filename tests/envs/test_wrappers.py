"""MaskVelocity, and wrappers that are not found."""

import re

import gymnasium as gym
import numpy as np
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env
from envs.wrappers import MaskVelocity, wrap


@pytest.mark.parametrize(
    ("env_id", "kept"),
    [
        ("CartPole-v1", [0, 2]),
        ("Pendulum-v1", [0, 1]),
        ("MountainCar-v0", [0]),
        ("MountainCarContinuous-v0", [0]),
        ("Acrobot-v1", [0, 1, 2, 3]),
        ("LunarLander-v3", [0, 1, 4, 6, 7]),
    ],
)
def test_velocities_are_hidden(env_id, kept):
    masked, full = make_env(EnvConfig(id=env_id, wrappers=["MaskVelocity"])), make_env(EnvConfig(id=env_id))
    masked.action_space.seed(0)
    one, other = masked.reset(seed=4)[0], full.reset(seed=4)[0]
    for _ in range(5):
        np.testing.assert_array_equal(one, other[kept])
        action = masked.action_space.sample()
        one, other = masked.step(action)[0], full.step(action)[0]
    space = masked.observation_space
    assert space.shape == (len(kept),) and space.dtype == full.observation_space.dtype
    np.testing.assert_array_equal(space.high, full.observation_space.high[kept])


def test_position_alone_hides_what_a_velocity_shows():
    """MountainCar: the two observations are position and velocity, so the kept one is the first."""
    env = make_env(EnvConfig(id="MountainCar-v0", wrappers=["envs.wrappers:MaskVelocity"]))
    env.reset(seed=0)
    obs, *_ = env.step(2)
    assert obs == np.float32(env.unwrapped.state[0])


def test_explicit_indices():
    env = MaskVelocity(gym.make("CartPole-v1"), keep=[3, 0])
    full = gym.make("CartPole-v1").reset(seed=1)[0]
    np.testing.assert_array_equal(env.reset(seed=1)[0], full[[3, 0]])


@pytest.mark.parametrize("keep", [[], [4], [-1], [0, 0], [0.5]])
def test_wrong_indices(keep):
    with pytest.raises(UserError, match="distinct indices from 0 to 3"):
        MaskVelocity(gym.make("CartPole-v1"), keep=keep)


def test_unknown_environment():
    with pytest.raises(UserError, match="BipedalWalker: list the entries to keep in 'keep'"):
        MaskVelocity(gym.make("BipedalWalker-v3"))
    with pytest.raises(UserError, match="list the entries to keep in 'keep'"):
        MaskVelocity(gym.wrappers.TimeAwareObservation(gym.make("CartPole-v1")))
    with pytest.raises(UserError, match="flat Box"):
        MaskVelocity(gym.make("FrozenLake-v1"))


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("MaskVelocty", "here: no wrapper 'MaskVelocty' in gymnasium.wrappers; did you mean 'MaskVelocity'?"),
        ({"type": "MaskVelocity", "kep": [0]}, "here (MaskVelocity) has no parameter 'kep'; did you mean 'keep'?"),
        ("no.such:Wrapper", "here=no.such:Wrapper: no module named 'no'"),
        ("builtins:repr", "here: builtins:repr is not a subclass of gymnasium.Wrapper"),
    ],
)
def test_what_is_no_wrapper_is_told(item, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}"):
        wrap(gym.make("CartPole-v1"), item, "here")

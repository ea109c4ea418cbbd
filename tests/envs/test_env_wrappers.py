"""MaskVelocity, and the description of environments."""

import gymnasium as gym
import numpy as np
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.describe import create_env_config
from envs.make import make_env
from envs.wrappers import MaskVelocity


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
    with pytest.raises(UserError, match="BipedalWalker: give it 'keep'"):
        MaskVelocity(gym.make("BipedalWalker-v3"))
    with pytest.raises(UserError, match="give it 'keep'"):
        MaskVelocity(gym.wrappers.TimeAwareObservation(gym.make("CartPole-v1")))
    with pytest.raises(UserError, match="flat Box"):
        MaskVelocity(gym.make("FrozenLake-v1"))


def test_description_of_cartpole():
    assert create_env_config("CartPole-v1") == {
        "env_name": "CartPole-v1",
        "state_dim": 4,
        "action_dim": 2,
        "continuous_actions": False,
        "max_episode_steps": 500,
    }


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("Pendulum-v1", (3, 1, True, 200)),
        ("FrozenLake-v1", (16, 4, False, 100)),
        ("LunarLander-v3", (8, 4, False, 1000)),
        ("CarRacing-v3", ((96, 96, 3), 3, True, 1000)),
        ("Blackjack-v1", ((32, 11, 2), 2, False, None)),
        ("Taxi-v4", (500, 6, False, 200)),
    ],
)
def test_descriptions(env_id, expected):
    found = create_env_config(env_id)
    assert (
        found["state_dim"],
        found["action_dim"],
        found["continuous_actions"],
        found["max_episode_steps"],
    ) == expected


def test_description_of_composite_spaces():
    class Composite(gym.Env):
        observation_space = gym.spaces.Dict(
            {"image": gym.spaces.Box(0, 255, (8, 8, 1), np.uint8), "flags": gym.spaces.MultiBinary(5)}
        )
        action_space = gym.spaces.MultiDiscrete([3, 2])

    gym.register("Composite-v0", entry_point=Composite)
    try:
        found = create_env_config("Composite-v0")
    finally:
        del gym.registry["Composite-v0"]
    assert found["state_dim"] == {"image": (8, 8, 1), "flags": 5} and found["action_dim"] == (3, 2)


def test_unknown_id_is_an_error():
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        create_env_config("CartPol-v1")

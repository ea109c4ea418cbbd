"""The description of environments."""

import gymnasium as gym
import numpy as np
import pytest

from algos.common.errors import UserError
from envs.describe import create_env_config


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

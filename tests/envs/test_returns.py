"""The range of an episode's return, and where it is not known."""

import math

import gymnasium as gym
import pytest

import envs.make  # noqa: F401  # registers joyride/*
from envs.config import EnvConfig
from envs.make import make_env
from envs.returns import _BOUNDS, possible_returns

UNKNOWN = (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0, 500)),
        ({"wrappers": ["MaskVelocity", {"type": "FlattenObservation"}]}, (0, 500)),
        ({"wrappers": [{"type": "ClipReward", "min_reward": 0, "train_only": True}]}, (0, 500)),
        ({"wrappers": [{"type": "ClipReward", "min_reward": 0}]}, UNKNOWN),
        ({"wrappers": ["no.such:Wrapper"]}, UNKNOWN),
        ({"kwargs": {"sutton_barto_reward": True}}, UNKNOWN),
        ({"entry_point": "gymnasium.envs.classic_control:CartPoleEnv"}, UNKNOWN),
        ({"id": "LunarLander-v3"}, UNKNOWN),
    ],
)
def test_what_is_known(settings, expected):
    assert possible_returns(EnvConfig(**settings)) == expected


@pytest.mark.parametrize("env_id", _BOUNDS)
def test_random_episodes_stay_within(env_id):
    assert env_id in gym.registry
    low, high = _BOUNDS[env_id]
    env = make_env(EnvConfig(id=env_id), max_step=300)
    env.action_space.seed(0)
    for seed in range(3):
        env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total += float(reward)
            over = terminated or truncated
        assert low <= total <= high + 1e-9


def test_the_largest_cost_of_a_pendulum():
    env = make_env(EnvConfig(id="Pendulum-v1"))
    env.reset()
    env.unwrapped.state = (math.pi, 8.0)
    assert env.step([2.0])[1] * 200 == pytest.approx(_BOUNDS["Pendulum-v1"][0])

"""The dictionary of an environment, and spaces from a dictionary."""

import gymnasium as gym
import numpy as np
import pytest

from algos.common.errors import UserError
from framework.tinyrl.agents import PPOAgent, SACAgent
from framework.tinyrl.environment import create_env_config


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("CartPole-v1", (4, 2, False, 500)),
        ("Pendulum-v1", (3, 1, True, 200)),
        ("Taxi-v4", (500, 6, False, 200)),
        ("joyride/BitFlip-v0", None),
        ("Blackjack-v1", (32 + 11 + 2, 2, False, None)),
    ],
)
def test_the_dictionary_of_an_environment(env_id, expected):
    config = create_env_config(env_id)
    assert list(config) == ["env_name", "state_dim", "action_dim", "continuous_actions", "max_episode_steps"]
    assert config["env_name"] == env_id
    if expected is not None:
        assert tuple(config.values())[1:] == expected


def test_it_makes_an_agent():
    agent = PPOAgent({**create_env_config("Pendulum-v1"), "rollout_length": 64})
    assert agent.obs_space == gym.make("Pendulum-v1").observation_space and agent.action_space.high == [2.0]
    assert (agent.cfg.env_cfg.id, agent.cfg.general_cfg.max_step) == ("Pendulum-v1", 200)


@pytest.mark.parametrize(
    ("env_id", "told"), [("CartPol-v1", "did you mean|CartPole"), ("nonsense", "malformed|nonsense")]
)
def test_an_unknown_id_fails(env_id, told):
    with pytest.raises(UserError, match=told):
        create_env_config(env_id)


def test_bounds_of_actions(caplog):
    sizes = {"state_dim": 3, "action_dim": 2, "continuous_actions": True}
    assert np.array_equal(SACAgent(sizes).action_space.low, [-2, -2])
    assert "the bounds of actions are unknown; [-2, 2] is used" in caplog.text
    caplog.clear()
    space = SACAgent({**sizes, "action_low": [-1, 0], "action_high": 3}).action_space
    assert (space.low.tolist(), space.high.tolist()) == ([-1, 0], [3, 3])
    assert SACAgent({"env_name": "Pendulum-v1"}).action_space.high == [2.0]
    assert "bounds" not in caplog.text


def test_an_id_that_is_not_registered_is_told(caplog):
    sizes = {"state_dim": 10, "action_dim": 3, "continuous_actions": False}
    assert PPOAgent({"env_name": "Mine-v1", **sizes}).action_space == gym.spaces.Discrete(3)
    assert "the spaces are made from state_dim and action_dim alone" in caplog.text and "Mine" in caplog.text
    with pytest.raises(UserError, match="Mine-v1"):
        PPOAgent({"env_name": "Mine-v1"})


def test_images_and_shapes():
    agent = PPOAgent({"state_dim": (2, 3), "action_dim": 2, "continuous_actions": False})
    assert agent.obs_space.shape == (2, 3) and agent.select_action(np.zeros((2, 3))) in (0, 1)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "needs state_dim, or env_name"),
        ({"state_dim": 3, "action_dim": 1}, "needs continuous_actions, or env_name"),
        ({"state_dim": 0, "action_dim": 1, "continuous_actions": True}, "state_dim=0 must be"),
        ({"state_dim": 3, "action_dim": 1.5, "continuous_actions": True}, "action_dim=1.5 must be"),
        ({"state_dim": 3, "action_dim": (1, 2), "continuous_actions": False}, "the number of discrete actions"),
        ({"state_dim": 3, "action_dim": 1, "continuous_actions": True, "action_low": 0}, "give both"),
        (
            {"state_dim": 3, "action_dim": 1, "continuous_actions": True, "action_low": 1, "action_high": 0},
            "action_low=1 must be below",
        ),
        (
            {"state_dim": 3, "action_dim": 1, "continuous_actions": True, "action_low": [0, 1], "action_high": 2},
            "do not fit actions of shape",
        ),
        ({"env_name": "CartPole-v1", "state_dim": 2}, "state_dim=2, but CartPole-v1 has 4"),
        ({"env_name": "CartPole-v1", "action_dim": 3}, "action_dim=3, but CartPole-v1 has 2"),
        ({"env_name": "CartPole-v1", "continuous_actions": True}, "but CartPole-v1 has discrete actions"),
    ],
)
def test_contradictions_are_refused(config, told):
    with pytest.raises(UserError, match=told):
        PPOAgent(config)

"""Hindsight on an environment whose rewards can be told from the goals."""

import numpy as np
import pytest

from algos.common.errors import UserError
from algos.data import DataSpec
from envs.config import EnvConfig
from envs.make import make_env
from framework.data.data_server import DataServer, make_buffer
from framework.data.hindsight import GOALS, GoalReward
from framework.data.rollout import Rollout

SPEC = DataSpec("replay", "HER", batch_size=4, capacity=1000)


def reward_of(name):
    return GoalReward(make_env(EnvConfig(id=name)))


def episode(length, over=True):
    """A point that goes right by 0.2 a step; its goal is never reached."""
    place = np.stack([0.2 * np.arange(length + 1) - 0.9, np.zeros(length + 1)], 1).astype(np.float32)
    goal = np.full((length, 2), 0.95, np.float32)

    def at(part):
        return {"observation": part[:, None], "achieved_goal": part[:, None], "desired_goal": goal[:, None]}

    number, flags = np.arange(length)[:, None], np.zeros((length, 1), dtype=bool)
    truncated, reset = flags.copy(), flags.copy()
    truncated[-1], reset[0] = over, True
    return Rollout(at(place[:-1]), number, number, -np.ones((length, 1)), at(place[1:]), flags, truncated, reset)


def test_each_step_again_with_goals_reached_from_there_on():
    server = DataServer(SPEC, 0, goal_reward=reward_of("joyride/PointReach-v0"))
    server.put(episode(6))
    columns, size = server.buffer.columns, server.buffer.size
    assert size == 6 * (1 + GOALS)
    relabelled = slice(6, size)
    assert columns["reward"][:6].tolist() == [-1.0] * 6
    step, goal = columns["action"][relabelled], columns["obs"]["desired_goal"][relabelled]
    reached_at = np.rint((goal[:, 0] + 0.9) / 0.2).astype(int) - 1  # the step whose next state is the goal
    assert (reached_at >= step).all() and (reached_at < 6).all() and (reached_at > step).any()
    np.testing.assert_array_equal(columns["reward"][relabelled], np.where(reached_at == step, 0.0, -1.0))
    np.testing.assert_array_equal(columns["next_obs"]["desired_goal"][relabelled], goal)
    assert not columns["terminated"][:size].any() and columns["truncated"][:size].sum() == 1 + GOALS


def test_half_an_episode_waits_also_over_a_checkpoint():
    reward = reward_of("joyride/PointReach-v0")
    one, two = (DataServer(SPEC, seed, goal_reward=reward) for seed in (0, 1))
    first, second = episode(4, over=False), episode(3)
    second.reset[:] = False
    one.put(first)
    assert one.buffer.size == 0
    two.load_state_dict(one.state_dict())
    for server in (one, two):
        server.put(second)
        assert server.buffer.size == 7 * (1 + GOALS)
    np.testing.assert_array_equal(one.buffer.columns["reward"][:35], two.buffer.columns["reward"][:35])


def test_what_is_no_goal_environment_is_refused():
    with pytest.raises(UserError, match=r"HER needs observations with observation, .*; CartPole"):
        reward_of("CartPole-v1")
    spec = DataSpec("replay", "HER", batch_size=4, capacity=10, n_step=3)
    with pytest.raises(UserError, match="n_step=3 must be 1"):
        make_buffer(spec, 0)

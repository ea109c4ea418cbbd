"""Goal environments: their rewards for any goal, and their rules by hand."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.goals import BitFlip, PointReach


@pytest.mark.parametrize("kind", [BitFlip, PointReach])
def test_goal_environments(kind):
    env = kind()
    check_env(env, skip_render_check=True)
    obs, _ = env.reset(seed=3)
    obs, reward, _, _, info = env.step(env.action_space.sample())
    assert reward == env.compute_reward(obs["achieved_goal"], obs["desired_goal"], info)
    goals = np.stack([obs["achieved_goal"], obs["desired_goal"]])
    assert env.compute_reward(goals, goals, [{}, {}]).tolist() == [0.0, 0.0]


def test_bits_are_flipped_one_by_one():
    env = BitFlip(n_bits=3)
    env.reset(seed=0)
    env.state, env.goal = np.array([1, 0, 0], np.float32), np.array([0, 0, 1], np.float32)
    obs, reward, terminated, truncated, info = env.step(0)
    assert obs["achieved_goal"].tolist() == [0, 0, 0] and obs["desired_goal"].tolist() == [0, 0, 1]
    assert (reward, terminated, truncated, info) == (-1.0, False, False, {"is_success": False})
    assert env.step(2)[1:] == (0.0, False, False, {"is_success": True})
    assert obs["achieved_goal"].tolist() == [0, 0, 0]  # what was handed out stays


def test_a_point_moves_a_tenth_and_stays_in_its_square():
    env = PointReach()
    env.reset(seed=0)
    env.state, env.goal = np.array([0.95, 0.0], np.float32), np.array([1.0, 0.17], np.float32)
    obs, reward, *_ = env.step(np.array([5.0, 0.5]))
    assert obs["observation"].tolist() == pytest.approx([1.0, 0.05]) and reward == -1.0
    assert env.step(np.array([0.0, 0.5]))[1] == 0.0  # 0.07 from the goal

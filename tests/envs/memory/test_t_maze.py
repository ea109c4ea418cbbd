"""The T-maze: episodes by hand."""

import pytest

from envs.config import EnvConfig
from envs.make import make_vector_env
from envs.memory.t_maze import DOWN, GOAL_DOWN, GOAL_UP, JUNCTION, LEFT, RIGHT, UP, TMaze


def walk(env, actions):
    """Observations, rewards and the end of an episode of these actions, the start's sign first."""
    seen, rewards = [env.reset(seed=4)[0]], []
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        seen.append(obs)
        rewards.append(reward)
    return seen, rewards, terminated, truncated, info


def test_the_sign_is_seen_once_and_decides():
    env = TMaze(length=3)
    sign = env.reset(seed=4)[0]
    assert sign in (GOAL_UP, GOAL_DOWN)
    right, wrong = (UP, DOWN) if sign == GOAL_UP else (DOWN, UP)
    seen, rewards, *end = walk(env, [RIGHT, RIGHT, RIGHT, right])
    assert seen == [sign, 0, 0, JUNCTION, JUNCTION] and rewards == [0, 0, 0, 1]
    assert end == [True, False, {"is_success": True}]
    _, rewards, *end = walk(env, [RIGHT, RIGHT, RIGHT, wrong])
    assert rewards == [0, 0, 0, 0] and end == [True, False, {"is_success": False}]


def test_a_walk_that_lags_behind_costs_and_runs_out_of_time():
    seen, rewards, terminated, truncated, _ = walk(TMaze(length=3), [LEFT, UP, *[RIGHT] * 5])
    assert seen[1:] == [0, 0, 0, 0, JUNCTION, JUNCTION, JUNCTION] and rewards == pytest.approx([-1 / 3] * 7)
    assert (terminated, truncated) == (False, True)


def test_signs_are_even():
    venv = make_vector_env(EnvConfig(id="joyride/TMaze-v0", vectorization="native"), 2000)
    obs, _ = venv.reset(seed=0)
    assert 900 < (obs == GOAL_UP).sum() < 1100 and set(obs) == {GOAL_UP, GOAL_DOWN}

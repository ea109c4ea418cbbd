"""The scripted person of ReachGrasp wins always, with noise too, and knows how far it has to go."""

import numpy as np
import pytest

from envs.reach_grasp.expert import cost_to_go, expert
from envs.reach_grasp.world import ReachGrasp

EACH = pytest.mark.parametrize("grade", ["easy", "hard"])


def blind(**kwargs):
    """A world that draws no pictures: its person does not look at them."""
    env = ReachGrasp(image_size=32, **kwargs)
    env._obs = lambda: None
    return env


def episode(env, seed, noise=0.0, rng=None):
    """(won, steps, the costs on the way)."""
    env.reset(seed=seed)
    costs = []
    while True:
        costs.append(cost_to_go(env))
        *_, terminated, truncated, _ = env.step(expert(env, noise, rng))
        if terminated or truncated:
            return terminated, len(costs), costs


@EACH
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_it_wins_every_episode(grade, noise):
    env, rng = blind(grade=grade), np.random.default_rng(0)
    outcomes = [episode(env, seed, noise, rng) for seed in range(50)]
    assert all(won for won, *_ in outcomes)
    assert max(steps for _, steps, _ in outcomes) < env.grade.limit / 2


@EACH
@pytest.mark.parametrize("hands", [1, 2])
@pytest.mark.parametrize("gripper", ["learned", "fixed"])
@pytest.mark.parametrize("motion", [3, 6])
def test_it_wins_in_every_mode(grade, hands, gripper, motion):
    env, rng = blind(grade=grade, hands=hands, gripper=gripper, motion=motion), np.random.default_rng(1)
    assert all(episode(env, seed, 0.2, rng)[0] for seed in range(10))
    assert env.action_space.contains(env.expert())


@EACH
def test_noise_on_the_commands_too_costs_no_episode(grade):
    env, rng = blind(grade=grade), np.random.default_rng(2)
    for seed in range(50):
        env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            *_, terminated, truncated, _ = env.step(expert(env) + 0.2 * rng.normal(size=7))
        assert terminated


@EACH
def test_the_cost_is_the_number_of_steps(grade):
    env = blind(grade=grade)
    for seed in range(30):
        _, steps, costs = episode(env, seed)
        assert abs(costs[0] - steps) <= 1.5
        assert np.mean(np.diff(costs)) < -0.8 and max(np.diff(costs)) <= 0.5


def test_the_same_stream_gives_the_same_noise_and_whole_commands():
    env = ReachGrasp(image_size=32, hands=2)
    env.reset(seed=0)
    one, two = (expert(env, 0.3, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one != expert(env)).any() and set(one[~env.motion_entries]) <= {-1.0, 0.0, 1.0}


def test_it_opens_again_after_a_miss():
    env = blind(motion=3)
    env.reset(seed=0)
    env.opening[0] = 0.0
    assert expert(env)[-1] == 1.0

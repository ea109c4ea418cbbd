"""Random streams beside `np_random`: found, saved, brought back."""

import random

import gymnasium as gym
import numpy as np
import pytest

from envs.resuming.own_streams import find_streams, set_streams, stream_states
from envs.resuming.resumable import Resumable


class Dice:
    def __init__(self, seed):
        self.stream = random.Random(seed)


class Game:
    def __init__(self):
        self.stream, self.dice = np.random.RandomState(5), Dice(6)
        self.board = type("Board", (), {})()
        self.board.stream = self.stream  # the same once more


class Own(gym.Env):
    """Draws from a generator, a RandomState and a Random of its own, none of which a reset seeds; and, unseeded, from
    `np_random`."""

    observation_space = gym.spaces.Box(-9, 9, (4,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self):
        self.game = Game()

    def reset(self, *, seed=None, options=None):
        self.late = np.random.default_rng(8) if not hasattr(self, "late") else self.late
        return self.draw(), {}

    def step(self, action):
        return self.draw(), 0.0, False, False, {}

    def draw(self):
        streams = self.game.stream.normal(), self.game.dice.stream.gauss(0, 1), self.late.normal()
        return np.array([*streams, self.np_random.normal()])


def test_each_stream_is_found_once_and_none_of_spaces():
    env = Own()
    env.action_space = gym.spaces.Discrete(2, seed=3)
    env.shared, env.common = np.random.mtrand._rand, random._inst
    assert find_streams(env) == ["game.stream", "game.dice.stream"]
    env.reset()
    env.np_random.normal()
    assert find_streams(env) == ["late", "game.stream", "game.dice.stream"]


def test_states_come_back():
    env, other = Own(), Own()
    env.reset()
    other.reset()
    paths = find_streams(env)
    env.draw()
    states = stream_states(env, paths)
    expected = env.draw()[:3]
    set_streams(other, states)
    assert np.array_equal(other.draw()[:3], expected)
    set_streams(other, {"absent.stream": {}, "late": states["game.stream"]})  # nothing that fits: nothing happens


@pytest.mark.parametrize("episodes", [1, 3])
def test_an_episode_of_such_an_environment_is_resumed_exactly(episodes):
    env, copy = Resumable(Own()), Resumable(Own())
    env.reset(seed=3)
    for _ in range(episodes - 1):
        env.step(0)
        env.reset()
    env.step(0)
    assert copy.restore(env.snapshot()) is None
    assert np.array_equal(env.step(0)[0], copy.step(0)[0])
    assert np.array_equal(env.reset()[0], copy.reset()[0])


def test_a_reset_that_forgets_to_seed_np_random_is_repeated_by_the_seed():
    first, second = (Resumable(Own()).reset(seed=4)[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_a_stream_that_a_replay_leaves_elsewhere_is_told_and_put_right():
    env, copy = Resumable(Own()), Resumable(Own())
    env.reset(seed=3)
    env.env.game.stream.normal()  # drawn outside of the episode
    assert "random streams game.stream" in copy.restore(env.snapshot())
    assert np.array_equal(env.step(0)[0], copy.step(0)[0])

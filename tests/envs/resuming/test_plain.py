"""Plain trees: random streams, actions, and what counts as equal."""

import json

import gymnasium as gym
import numpy as np
import pytest

from envs.resuming.plain import equal, is_plain, member, pack, plain, rng_state, set_rng


@pytest.mark.parametrize("bits", ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_random_streams(bits):
    env, other = gym.make("CartPole-v1").unwrapped, gym.make("CartPole-v1").unwrapped
    env.np_random = np.random.Generator(getattr(np.random, bits)(3))
    env.np_random.random(7)
    set_rng(other, json.loads(json.dumps(rng_state(env))))
    assert other.np_random_seed == env.np_random_seed
    np.testing.assert_array_equal(env.np_random.integers(0, 9, 50), other.np_random.integers(0, 9, 50))


def test_actions_are_packed():
    stacked, python = pack([np.float32([1, 2]), np.float32([3, 4])])
    assert stacked.dtype == np.float32 and stacked.shape == (2, 2) and not python
    assert pack([1, 2])[1] and pack([np.int64(1)])[1] is False
    mixed, _ = pack([np.float32([1]), np.float64([0.1])])
    assert [action.dtype for action in mixed] == [np.float32, np.float64]
    assert pack([]) == ([], False)
    choice = gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Text(5)])
    tree = member(choice, plain((np.int64(2), "abc")))
    assert isinstance(tree, tuple) and type(tree[0]) is np.int64 and tree[1] == "abc"


def test_equal_is_bitwise():
    assert equal({"a": [1, np.float32(2)], "b": "x"}, {"a": [1, np.array(2, np.float32)], "b": "x"})
    assert equal(np.array([np.nan]), np.array([np.nan])) and equal(2**100, 2**100)
    for one, other in [(0.0, -0.0), (np.zeros(2), np.zeros(3)), (np.zeros(1), np.zeros(1, np.float32)), ([1], [2])]:
        assert not equal(one, other)
    assert not equal({"a": 1}, {"b": 1}) and not equal(None, 0) and not equal("1", 1)


def test_plain_or_not():
    assert is_plain({"a": [1, 2.0, None, np.ones(2), True]})
    assert not any(is_plain(value) for value in (print, (1, 2), {1: 2}, np.array([None])))
    assert plain({1: (np.int64(2), print)}) == {"1": [2, str(print)]}

"""The map of a grid world, found from the environment."""

import numpy as np
import pytest

from envs.config import EnvConfig
from envs.grid import grid_of
from envs.make import make_env


def grid(env_id, **kwargs):
    return grid_of(make_env(EnvConfig(id=env_id, kwargs=kwargs)))


def test_the_grid_of_gymnasium_s_worlds_is_found():
    lake = grid("FrozenLake-v1")
    assert lake.shape == (4, 4) and lake.layers == 1 and not lake.blocked.any()
    assert lake.moves == {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
    assert np.argwhere(lake.ends).tolist() == [[1, 1], [1, 3], [2, 3], [3, 0], [3, 3]]
    cliff = grid("CliffWalking-v1")
    assert cliff.shape == (4, 12) and cliff.moves == {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    assert np.argwhere(cliff.blocked).tolist() == [[3, column] for column in range(1, 11)]
    assert np.argwhere(cliff.ends).tolist() == [[3, 11]]


def test_the_grid_of_our_own_worlds_is_found():
    track = grid("joyride/Racetrack-v0", track="small")
    assert (track.shape, track.layers, track.moves) == ((7, 8), 25, {}) and track.ends[:3, 7].all()
    simple = grid("joyride/SimpleGrid-v0")
    assert np.argwhere(simple.blocked).tolist() == [[1, 1]] and np.argwhere(simple.ends).tolist() == [[0, 3], [1, 3]]
    assert grid("joyride/WindyGridworld-v0", kings_moves=True).moves[5] == (1, 1)


@pytest.mark.parametrize("env_id", ["Taxi-v4", "CartPole-v1", "Blackjack-v1", "joyride/StochasticMDP-v0"])
def test_other_worlds_have_no_grid(env_id):
    assert grid(env_id) is None

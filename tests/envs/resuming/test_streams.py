"""Environments that draw from np.random and random: by their seed alone, resumed ones too, and leaving others alone."""

import random

import gymnasium as gym
import numpy as np
import pytest
from framework_fakes import DQN
from global_env import Global

from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.resuming.resumable import Resumable
from envs.resuming.streams import WATCHED
from envs.resuming.vectors import restore_vector, snapshot_vector
from framework import Experiment


def config(at="step"):
    return EnvConfig(entry_point="global_env:Global", kwargs={"at": at})


def walk(env, steps):
    return np.array([env.step(np.zeros(env.num_envs, np.int64))[0] for _ in range(steps)])


@pytest.mark.parametrize("at", ["step", "reset"])
def test_two_with_one_seed_are_equal_whatever_was_drawn_before(at):
    one, two = make_vector_env(config(at), 2), make_vector_env(config(at), 2)
    one.reset(seed=[3, 4])
    first = walk(one, 20)
    np.random.rand(5)
    random.random()
    two.reset(seed=[3, 4])
    np.testing.assert_array_equal(first, walk(two, 20))
    assert not np.array_equal(first[:, 0], first[:, 1])  # each env has streams of its own


def test_the_streams_of_the_process_stay_as_they_are():
    np.random.seed(7)
    random.seed(7)
    expected = np.random.rand(), random.random()
    np.random.seed(7)
    random.seed(7)
    env = make_vector_env(config(), 2)
    env.reset(seed=1)
    walk(env, 30)
    assert (np.random.rand(), random.random()) == expected


@pytest.mark.parametrize("at", ["step", "reset"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_restored_one_goes_on_bit_for_bit(at, kind):
    cfg = config(at)
    cfg.vectorization = kind
    whole, fresh = make_vector_env(cfg, 2), make_vector_env(cfg, 2)
    whole.reset(seed=5)
    fresh.reset(seed=9)
    walk(whole, 17)
    assert restore_vector(fresh, snapshot_vector(whole)) == []
    np.testing.assert_array_equal(walk(whole, 20), walk(fresh, 20))
    whole.close()
    fresh.close()


def test_one_that_draws_nothing_is_left_alone():
    env = make_env(EnvConfig(id="CartPole-v1"))
    env.reset(seed=0)
    for _ in range(WATCHED):
        if any(env.step(0)[2:4]):
            env.reset()
    assert not env._global.lent and env.snapshot()["global_streams"] is None
    noisy = Resumable(gym.wrappers.TransformObservation(env.env, lambda obs: obs + np.random.rand(), None))
    assert noisy._global.lent  # a wrapper may draw


def test_runs_with_one_seed_and_a_resumed_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = DQN | {"env_cfg__entry_point": "global_env:Global", "online_eval": False, "loggers": [], "n_envs": 2}
    whole = Experiment(**settings)
    whole.train()
    np.random.rand(3)
    again = Experiment(**settings)
    again.train()
    half = Experiment(**settings | {"max_env_step": 50})
    half.train()
    random.random()
    resumed = Experiment(resume=str(half.folder.path), max_env_step=100)
    resumed.train()
    for other in (again, resumed):
        for name, weight in whole.algorithm.q_net.state_dict().items():
            assert weight.equal(other.algorithm.q_net.state_dict()[name]), name


def test_a_global_env_is_one():
    env = Global("reset")
    assert env.reset(seed=0)[0].any()

"""`env_cfg.vectorization=auto`: which is chosen, and that nothing else depends on it."""

import logging
import time

import gymnasium as gym
import numpy as np
import pytest

from envs import auto
from envs.config import EnvConfig
from envs.make import make_vector_env
from envs.resuming.vectors import restore_vector, snapshot_vector


class Slow(gym.Env):
    """Takes two milliseconds for a step."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    closed = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        time.sleep(0.002)
        return np.zeros(1, np.float32), 0.0, self.np_random.random() < 0.1, False, {}

    def close(self):
        Slow.closed += 1


def test_it_is_measured_and_said(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "joyride")
    monkeypatch.setattr(auto.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert 0.002 <= auto.step_seconds(Slow()) < 0.1 and Slow.closed == 1
    assert auto.sync_or_async(Slow(), 4) == "async"
    assert auto.sync_or_async(Slow(), 1) == "sync"  # alone
    assert auto.sync_or_async(Slow(), 4, sharers=2) == "sync"  # no core is left
    monkeypatch.setattr(auto, "SLOW", 1.0)
    assert auto.sync_or_async(Slow(), 4) == "sync"
    assert [message.rpartition(";")[2] for message in caplog.messages] == [
        " 4 envs, 2 cores: async",
        " 1 envs, 2 cores: sync",
        " 4 envs, 2 cores: sync",
        " 4 envs, 2 cores: sync",
    ]


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "joyride/TMaze-v0"])
def test_rows_do_not_depend_on_it(env_id):
    sync, other = (make_vector_env(EnvConfig(env_id, vectorization=kind), 3, max_step=20) for kind in ("sync", "async"))
    np.testing.assert_equal(other.reset(seed=[4, 5, 6]), sync.reset(seed=[4, 5, 6]))
    sync.action_space.seed(0)
    for _ in range(60):
        action = sync.action_space.sample()
        one, two = sync.step(action), other.step(action)
        for step in (one, two):
            step[4]["final_obs"] = list(step[4].get("final_obs", ()))
        np.testing.assert_equal(two, one)
    assert restore_vector(other, snapshot_vector(sync)) == []  # a resumed run may choose the other
    np.testing.assert_equal(other.step(action)[:4], sync.step(action)[:4])
    other.close()

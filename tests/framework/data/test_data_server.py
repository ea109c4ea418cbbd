from dataclasses import replace

import numpy as np
import pytest

from algos.data import DataSpec
from framework.data.buffers import ReplayBuffer, RolloutBuffer
from framework.data.data_server import DataServer, make_buffer
from framework.data.episodes import EpisodeBuffer
from framework.data.hindsight import HindsightBuffer
from framework.data.prioritized import PrioritizedReplayBuffer
from framework.data.rollout import Rollout
from framework.data.sequences import SequenceBuffer


def rollout(steps, n_envs=1):
    column = np.zeros((steps, n_envs))
    flags = column.astype(bool)
    return Rollout(column[..., None], column, column, column, column[..., None], flags, flags, flags)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (DataSpec("replay", capacity=5), ReplayBuffer),
        (DataSpec("replay", "REPLAY_QUE", capacity=5), ReplayBuffer),
        (DataSpec("replay", "PER_QUE", capacity=5), PrioritizedReplayBuffer),
        (DataSpec("replay", "HER", capacity=5), HindsightBuffer),
        (DataSpec("sequence", capacity=50, n_steps=5), SequenceBuffer),
        (DataSpec("rollout"), RolloutBuffer),
        (DataSpec("rollout", "ONPOLICY_QUE"), RolloutBuffer),
        (DataSpec("episode", batch_size=2), EpisodeBuffer),
        (DataSpec("none"), type(None)),
    ],
)
def test_the_buffer_of_an_algorithm(spec, kind):
    buffer = make_buffer(spec, 0, goal_reward=lambda achieved, desired: None)
    assert type(buffer) is kind


def test_the_buffer_takes_its_sizes_from_the_spec():
    buffer = make_buffer(DataSpec("sequence", capacity=52, n_steps=5), 0)
    assert (buffer.capacity, buffer.length) == (10, 5)
    buffer = make_buffer(DataSpec("rollout", n_steps=7), 0, n_rollouts=3)
    assert (buffer.n_rollouts, buffer.length) == (3, 7)


def replay(**spec):
    return DataServer(DataSpec("replay", **{"batch_size": 1, "capacity": 1000, **spec}), seed=0)


def due(server, steps, n_envs=1):
    """Updates that a rollout makes due, all made."""
    server.put(rollout(steps, n_envs))
    count = server.updates_due()
    for _ in range(count):
        server.sample()
    assert server.updates_due() == 0
    return count


@pytest.mark.parametrize(
    ("spec", "steps", "expected"),
    [
        ({}, 1, [1, 1, 1]),
        ({"train_freq": 4}, 1, [0, 0, 0, 1, 0, 0, 0, 1]),
        ({"train_freq": 4, "gradient_steps": 3}, 2, [0, 3, 0, 3]),
        ({"train_freq": 4, "gradient_steps": -1}, 2, [0, 4, 0, 4]),
        ({"train_freq": 2, "gradient_steps": 5}, 6, [15, 15]),
        ({"train_freq": 3, "gradient_steps": -1}, 4, [3, 3, 6, 3]),  # a whole round every third step
        ({"batch_size": 5}, 2, [0, 0, 2, 2]),
        ({"learning_starts": 6}, 2, [0, 0, 2, 2]),
        ({"learning_starts": 8, "train_freq": 4, "gradient_steps": 2}, 4, [0, 2, 2]),
    ],
)
def test_updates_due(spec, steps, expected):
    server = replay(**spec)
    assert [due(server, steps) for _ in expected] == expected
    assert server.env_steps == steps * len(expected)


def test_workers_and_environments_count_alike():
    server = replay(train_freq=4, gradient_steps=-1)
    assert [due(server, 1, n_envs=3) for _ in range(4)] == [0, 4, 4, 4]


def test_learning_starts_after_the_ring_has_come_round():
    server = replay(capacity=10, learning_starts=10)
    assert sum(due(server, 3) for _ in range(10)) == 21  # from the rollout on that fills it


def test_a_rollout_is_learned_once_all_workers_are_in():
    server = DataServer(DataSpec("rollout", "ONPOLICY_QUE", n_steps=4), seed=0, n_rollouts=3)
    for _ in range(2):
        for expected in (0, 0, 1):
            server.put(rollout(4, 2))
            assert server.updates_due() == expected
        assert server.sample().reward.shape == (4, 6) and server.updates_due() == 0
    assert server.env_steps == 2 * 3 * 8


def test_rollouts_cut_short_are_counted_but_not_learned():
    server = DataServer(DataSpec("rollout", "ONPOLICY_QUE", n_steps=4), seed=0, n_rollouts=2)
    for _ in range(2):
        server.put(rollout(3))
        assert server.updates_due() == 0
    assert server.env_steps == 6


def test_nothing_is_due_where_nothing_is_learned():
    server = DataServer(DataSpec("none", n_steps=4), seed=0)
    assert due(server, 4) == 0 and server.env_steps == 4


def test_state_goes_on():
    one, other = replay(train_freq=4, gradient_steps=2), replay(train_freq=4, gradient_steps=2)
    one.put(rollout(7))
    other.load_state_dict(one.state_dict())
    assert (other.env_steps, other.updates_due()) == (7, 2)
    one.put(rollout(2))
    other.put(rollout(2))
    assert one.updates_due() == other.updates_due() == 4
    assert one.sample().obs.equal(other.sample().obs) and one.sample().step == 9


def test_rewards_are_multiplied_by_reward_scale_when_they_are_drawn():
    spec = DataSpec("replay", batch_size=4, capacity=64, reward_scale=0.25)
    server = DataServer(spec, 0)
    server.put(replace(rollout(4), reward=np.array([[4.0], [8.0], [-4.0], [0.0]])))
    assert sorted(server.buffer.columns["reward"][:4].tolist()) == [-4, 0, 4, 8]
    drawn = {reward for _ in range(20) for reward in server.sample().reward.tolist()}
    assert drawn == {-1.0, 0.0, 1.0, 2.0}


def test_rewards_are_scaled_by_the_deviation_of_the_returns_of_all_workers():
    spec = DataSpec("replay", batch_size=4, capacity=64, gamma=0.5, normalize_reward=True)
    server = DataServer(spec, 0, n_rollouts=2)
    rewards = np.random.default_rng(0).normal(3, 2, (2, 2, 4, 2))  # two rollouts of each of two workers, [T, N]
    ends = np.zeros((4, 2), dtype=bool)
    ends[1, 0] = True
    for k in range(2):
        for worker in range(2):
            server.put(replace(rollout(4, 2), reward=rewards[k, worker], terminated=ends, worker=worker))
    returns, running = [], np.zeros((2, 2))
    for k in range(2):
        for t in range(4):
            running = 0.5 * running + rewards[k, :, t]
            returns.append(running)
            running = running * ~ends[t]
    batch = server.sample()
    drawn = server.buffer.columns["reward"][: server.buffer.size]
    expected = drawn / np.std(returns)
    assert all(np.isclose(one, expected, rtol=1e-4).any() for one in batch.reward.tolist())
    other = DataServer(spec, 1, n_rollouts=2)
    other.load_state_dict(server.state_dict())
    for one in (server, other):
        one.put(replace(rollout(4, 2), reward=rewards[0, 0], worker=1))
    assert other.returns.var == server.returns.var and other.sample().reward.tolist() == server.sample().reward.tolist()

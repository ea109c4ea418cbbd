"""Sampling and learning in one process, step by step."""

import copy

import numpy as np
import torch
from framework_fakes import CountPolicy, count_envs

from algos.data import DataSpec, LearnOutput
from framework.data.data_server import DataServer
from framework.settings.schema import GeneralConfig
from framework.training.counters import Counters
from framework.training.parts import Learning, Sampling, kept
from framework.training.worker import Worker

REPLAY = DataSpec("replay", batch_size=4, capacity=64, learning_starts=4)
PER = DataSpec("replay", "PER_QUE", batch_size=4, capacity=4, learning_starts=4, priority_alpha=1.0)


def make(n_workers, n_steps=4, **general):
    """Workers with an environment each, whose episodes last three steps; the policies count and are noisy."""
    cfg = GeneralConfig(n_workers=n_workers, n_envs=1, **general)
    workers = [
        Worker(count_envs((3,)), CountPolicy(noisy=True), seed=index, total_envs=n_workers, index=index)
        for index in range(n_workers)
    ]
    spec = DataSpec("none", n_steps=n_steps)
    return Sampling(workers, DataServer(REPLAY, 0), Counters(cfg, spec))


def round_of(sampling):
    """One round, counted and stored as a driver does it."""
    result = []
    for sampled in sampling.rollouts():
        sampling.counters.env_step += sampled.stats.env_steps
        sampling.counters.episode += len(sampled.stats.episodes)
        sampling.put(sampled.rollout)
        result.append(sampled)
    return result


def test_all_workers_go_from_the_same_step():
    sampling = make(3)
    sampling.counters.start_from(100, 0, 0)
    first, second = round_of(sampling), round_of(sampling)
    assert [sampled.worker for sampled in first + second] == [0, 1, 2, 0, 1, 2]
    for worker in sampling.workers:
        assert worker.policy.steps == [100, 103, 106, 109, 112, 115, 118, 121]  # three environments step at once
    assert sampling.counters.env_step == 124 and sampling.server.env_steps == 24
    ends = [[episode.env_step for episode in sampled.stats.episodes] for sampled in first + second]
    assert ends == [[109]] * 3 + [[118]] * 3  # after steps 3 and 6 of each


def test_the_last_rollouts_are_as_short_as_the_limit_asks():
    sampling = make(3, max_env_step=17)
    assert [sampled.stats.env_steps for sampled in round_of(sampling) + round_of(sampling)] == [4] * 3 + [2] * 3
    assert sampling.counters.env_step == 18  # 5 were left: two steps of three environments


def test_it_stops_at_the_last_episode():
    sampling = make(3, max_episode=2)
    counts = [(s.worker, s.stats.env_steps, [e.length for e in s.stats.episodes]) for s in round_of(sampling)]
    assert counts == [(0, 4, [3]), (1, 3, [3])]  # the second worker ends with its episode, the third never begins
    assert sampling.workers[2].policy.steps == [] and sampling.counters.episodes_left() == 0


def test_sampling_goes_on_from_its_state_as_if_nothing_had_been():
    sampling = make(2)
    round_of(sampling)
    state, counts = copy.deepcopy(sampling.state_dict()), sampling.counters.state_dict()
    assert set(state) == {"server", "workers"} and len(state["workers"]) == 2
    other = make(2)
    assert other.load_state_dict(state) == []
    other.counters.load_state_dict(counts)
    for one, again in zip(round_of(sampling), round_of(other), strict=True):
        assert one.stats == again.stats
        for name in ("obs", "action", "next_obs", "terminated", "truncated", "reset"):
            np.testing.assert_array_equal(getattr(one.rollout, name), getattr(again.rollout, name))
    assert other.server.env_steps == 16
    np.testing.assert_array_equal(sampling.server.sample().action, other.server.sample().action)


class FakeLearner:
    """Keeps its batches; the priority of a row is its place in the batch, from 1."""

    def __init__(self):
        self.batches = []

    def learn(self, batch):
        self.batches.append(batch)
        return LearnOutput({"loss": float(len(self.batches))}, torch.arange(1.0, 1 + len(batch.reward)))


def test_what_is_due_is_learned_and_received_once():
    sampling = make(1)
    learning = Learning(FakeLearner(), sampling.server)
    assert not learning.due()
    round_of(sampling)
    for left in (3, 2, 1, 0):  # an update for each of the four steps
        assert learning.due()
        learning.submit()
        assert sampling.server.updates_due() == left
    assert not learning.due()
    assert [output.metrics["loss"] for output in learning.receive()] == [1, 2, 3, 4]
    assert list(learning.receive()) == []
    assert [batch.step for batch in learning.learner.batches] == [4] * 4


def test_priorities_go_back_to_the_rows_they_are_of():
    sampling = make(1)
    sampling.server = DataServer(PER, 0)
    learning = Learning(FakeLearner(), sampling.server)
    round_of(sampling)
    tree = sampling.server.buffer.tree
    assert tree[:4].tolist() == [1, 1, 1, 1]
    learning.submit()  # one row from each quarter of the sum: each of the four rows once
    assert learning.learner.batches[0].index.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(tree[:4], [1, 2, 3, 4], atol=2e-6)


def test_metrics_wait_for_their_row_as_numbers_and_those_of_another_device_as_they_are():
    elsewhere = torch.empty((), device="meta")
    waiting = kept({"a": torch.tensor(0.5), "b": 2, "c": elsewhere})
    assert type(waiting["a"]) is float and waiting == {"a": 0.5, "b": 2, "c": elsewhere}

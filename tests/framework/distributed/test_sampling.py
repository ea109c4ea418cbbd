"""Sampling over processes: exact rounds are those of a single process; async groups, settling, and what is lost."""

import pytest
from framework_fakes import DQN, PPO
from remote_parts import same, traffic_of

from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.distributed.failures import CallFailed
from framework.distributed.sampling import CountingServer, RemoteSampling
from framework.distributed.traffic import RemoteServer
from framework.training.build import Acting, build_sampling
from framework.training.counters import Counters
from framework.training.environments import Environments

ROUNDS = {
    "PPO": PPO | {"n_workers": 2, "n_envs": 2, "max_step": 7},
    "DQN": DQN | {"n_workers": 3, "train_freq": 6, "max_step": 7},
    "steps end": PPO | {"n_workers": 2, "max_env_step": 41},  # the last round: ceil((41 - 32) / 2) steps
    "episodes end": PPO | {"n_workers": 3, "max_step": 5, "max_env_step": -1, "max_episode": 7},
}


def sampling_of(folder, **settings):
    traffic, algorithm = traffic_of(folder, **settings)
    sampling = RemoteSampling(traffic, RemoteServer(traffic))
    sampling.start()
    return sampling, traffic, algorithm


def take(sampling, counters):
    """The next rollouts, counted and put as a driver does."""
    taken = []
    for sampled in sampling.rollouts():
        counters.env_step += sampled.stats.env_steps
        counters.episode += len(sampled.stats.episodes)
        sampling.put(sampled.rollout)
        taken.append(sampled)
    return taken


@pytest.mark.parametrize("case", ROUNDS)
def test_exact_rounds_are_those_of_a_single_process(tmp_path, case):
    remote, traffic, algorithm = sampling_of(tmp_path, **ROUNDS[case])
    cfg, own = traffic.actor_config.cfg, Counters(traffic.actor_config.cfg.general_cfg, traffic.spec)
    local = build_sampling(cfg, Environments(cfg), traffic.spec, algorithm.policy, Acting(), own)
    rounds = 0
    while not own.limit_reached() and rounds < 6:
        rounds += 1
        expected, found = take(local, own), take(remote, traffic.counters)
        assert [one.worker for one in found] == [one.worker for one in expected]
        assert [one.stats for one in found] == [one.stats for one in expected]
        assert all(same(remote.read(one.rollout), other.rollout) for one, other in zip(found, expected, strict=True))
        assert traffic.counters.state_dict() == own.state_dict()
        assert remote.quiet() and remote.server.updates_due() == local.server.updates_due()
    if case == "steps end":
        assert rounds == 3 and own.env_step == 42
    if case == "episodes end":  # it stops in the middle of a round
        assert own.episode == 7 and len(expected) < 3


def test_a_state_goes_to_other_processes(tmp_path):
    one, traffic, _ = sampling_of(tmp_path / "one", **ROUNDS["PPO"])
    take(one, traffic.counters)
    state = one.state_dict()
    other, _, _ = sampling_of(tmp_path / "other", **ROUNDS["PPO"])
    assert other.load_state_dict(state) == []
    other.counters.load_state_dict(traffic.counters.state_dict())
    pairs = zip(take(one, one.counters), take(other, other.counters), strict=True)
    assert all(same(a.rollout.value, b.rollout.value) and a.stats == b.stats for a, b in pairs)


def test_a_worker_that_died_is_replaced_and_its_rollout_marked_once(tmp_path):
    sampling, traffic, _ = sampling_of(tmp_path, **ROUNDS["PPO"])
    cluster = traffic.cluster
    cluster.failing["collect"] = [CallFailed("its process died")]
    found = take(sampling, traffic.counters)
    assert [one.replaced for one in found] == [True, False] and sampling.pool.restarts == [1, 0]
    assert [handle.name for handle in cluster.killed] == ["WorkerActor 0"]
    assert [one.replaced for one in take(sampling, traffic.counters)] == [False, False]
    assert [one.stats.env_steps for one in found] == [16, 16] and traffic.counters.env_step == 64


def test_groups_are_taken_in_their_order_whole(tmp_path):
    sampling, traffic, _ = sampling_of(tmp_path, **PPO | {"n_workers": 2, "sync": "async", "max_env_step": 1000})
    traffic.cluster.late = {"collect", "put"}
    assert take(sampling, traffic.counters) == []  # one of two has arrived
    assert not sampling.quiet() and len(sampling.pool.in_flight) == 1
    group = take(sampling, traffic.counters)
    assert sorted(one.worker for one in group) == [0, 1] and traffic.acted == [0, 0]
    assert len(traffic.stores) == 1 and sampling.pacing.next_group == 1
    assert [len(args) for args in traffic.cluster.made("put")] == [2]
    begun = [args[1] for args in traffic.cluster.made("collect")]
    assert begun == [0, 0, 16]  # the step from which a group collects: one worker is at the next already
    assert traffic.counters.env_step == 16


def test_a_group_waits_for_the_one_before_it(tmp_path):
    sampling, _, _ = sampling_of(tmp_path, **PPO | {"n_workers": 2, "sync": "async", "max_env_step": 1000})
    sampling._submit()
    first = list(sampling.pool.in_flight)
    assert list(sampling._receive(first[0])) == [] and sampling.groups.keys() == {0}
    sampling._submit()  # worker 0 begins the next group while 1 is at the first
    second = [ref for ref, one in sampling.pool.in_flight.items() if one.request.group == 1]
    assert len(second) == 1 and list(sampling._receive(second[0])) == []
    assert [one.worker for one in sampling._receive(first[1])] == [0, 1]
    assert sampling.groups.keys() == {1} and sampling.pacing.next_group == 1


def test_settling_lets_all_arrive_and_begins_nothing(tmp_path):
    settings = DQN | {"n_workers": 2, "sync": "async", "learning_starts": 1000, "max_env_step": 5000}
    sampling, traffic, _ = sampling_of(tmp_path, **settings)
    traffic.cluster.late = {"collect", "put"}
    taken = take(sampling, traffic.counters)
    assert len(taken) == 1 and len(sampling.pool.in_flight) == 3 and not sampling.quiet()  # two at each worker

    def exchange():
        taken.extend(take(sampling, traffic.counters))
        list(sampling.server.stored(wait=False))  # as `due` of learning does

    sampling.settle(exchange)
    assert len(taken) == 4 and sampling.pool.in_flight == traffic.stores == {} and sampling.quiet()
    assert len(traffic.cluster.made("collect")) == 4 and not sampling.pacing.settling
    assert sampling.server.state_dict()["env_steps"] == traffic.counters.env_step
    take(sampling, traffic.counters)
    sampling.cancel()
    assert sampling.pool.in_flight == sampling.groups == {}


def test_an_async_rollout_of_a_worker_that_died_is_collected_again(tmp_path):
    sampling, traffic, _ = sampling_of(tmp_path, **PPO | {"n_workers": 2, "sync": "async", "max_env_step": 1000})
    traffic.cluster.failing["collect"] = [CallFailed("its process died")]
    taken = [*take(sampling, traffic.counters), *take(sampling, traffic.counters)][:2]
    assert {one.worker: one.replaced for one in taken} == {0: True, 1: False}
    assert traffic.failures.restarts == 1 and sampling.pool.restarts == [1, 0]


def test_a_collection_is_counted_in_this_process(tmp_path):
    traffic, _ = traffic_of(tmp_path, DataSpec("none", n_steps=4), **PPO | {"n_workers": 2, "mode": "collect"})
    server = DataServer(traffic.spec, 0)
    sampling = RemoteSampling(traffic, CountingServer(traffic.cluster, server))
    sampling.start()
    assert [one.worker for one in take(sampling, traffic.counters)] == [0, 1]
    assert server.env_steps == 8 == sampling.state_dict()["server"]["env_steps"]
    assert sampling.server.updates_due() == 0 and traffic.cluster.made("put") == []

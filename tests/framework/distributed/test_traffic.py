"""Traffic: what is under way and who is asked for it; the data server in another process."""

import csv
import time

import numpy as np
import pytest
from fake_cluster import FakeRef
from framework_fakes import DQN, PPO
from remote_parts import traffic_of

from algos.common.errors import UserError
from framework.data.rollout import Rollout
from framework.distributed import traffic as traffic_module
from framework.distributed.actors import ServerActor
from framework.distributed.failures import CallFailed, PartLost
from framework.distributed.traffic import PendingUpdate, RemoteServer

SMALL = DQN | {"batch_size": 4, "learning_starts": 4, "train_freq": 2, "gradient_steps": 3}


def rollout(steps=2, worker=0):
    """`steps` steps of one environment with four numbers as observation."""
    flags, obs = np.zeros((steps, 1), bool), np.ones((steps, 1, 4), np.float32)
    action, reward = np.zeros((steps, 1), np.int64), np.ones((steps, 1), np.float32)
    return Rollout(obs, action, action, reward, obs, flags, flags, flags, worker=worker)


def server_of(tmp_path, **settings):
    traffic, _ = traffic_of(tmp_path, **SMALL | settings)
    return traffic, RemoteServer(traffic)


def test_a_round_is_stored_by_one_call_and_makes_updates_due(tmp_path):
    traffic, server = server_of(tmp_path)
    server.put(traffic.cluster.put(rollout()))
    assert traffic.cluster.made("put") == [] and traffic.refs() == []
    server.put(traffic.cluster.put(rollout()))
    server.store()
    server.store()  # nothing is left to be sent
    assert [len(args) for args in traffic.cluster.made("put")] == [2]
    assert traffic.refs() == list(traffic.stores) and len(traffic.stores) == 1
    # four steps in, as learning_starts wants: the updates of one train_freq
    assert list(server.stored(wait=True)) == [3] and traffic.stores == {} and server.updates_due() == 3
    server.put(traffic.cluster.put(rollout(4)))
    server.store()
    assert list(server.stored(wait=True)) == [6] and server.updates_due() == 9


def test_only_finished_stores_are_taken_in_unless_all_are_waited_for(tmp_path):
    traffic, server = server_of(tmp_path)
    assert list(server.stored(wait=False)) == list(server.stored(wait=True)) == []
    for late in ({"put"}, set()):
        traffic.cluster.late = late
        server.put(traffic.cluster.put(rollout(4)))
        server.store()
    first, _ = traffic.stores
    assert list(server.stored(wait=False)) == [6] and list(traffic.stores) == [first]
    assert list(server.stored(wait=True)) == [6] and traffic.stores == {} and not first.late


def test_the_servers_state_goes_to_another(tmp_path):
    traffic, server = server_of(tmp_path)
    server.put(traffic.cluster.put(rollout(4)))
    server.store()
    state, old = server.state_dict(), server.handle
    server.put(traffic.cluster.put(rollout()))
    server.spawn()
    assert server.handle is not old and server.unsent == [] and server.updates_due() == 0
    server.load_state_dict(state)
    assert server.updates_due() == 6 and server.state_dict()["env_steps"] == 4


@pytest.mark.parametrize(
    ("settings", "n_rollouts"),
    [
        (PPO | {"n_workers": 3}, 3),
        (PPO | {"n_workers": 3, "sync": "async"}, 3),
        (DQN | {"n_workers": 3}, 3),
        (DQN | {"n_workers": 3, "sync": "async"}, 1),
    ],
)
def test_the_server_is_told_how_many_rollouts_it_learns_as_one(tmp_path, settings, n_rollouts):
    traffic, _ = traffic_of(tmp_path, **settings)
    made = []
    traffic.cluster.stand_ins[ServerActor] = lambda *args: made.append(args)
    RemoteServer(traffic)
    assert made == [(traffic.actor_config, traffic.spec, n_rollouts)]


def test_what_is_not_there_in_time_is_a_lost_part(tmp_path):
    traffic, _ = server_of(tmp_path)
    past = time.monotonic() - 1
    store, answer = FakeRef(), FakeRef(hangs=True)
    traffic.stores = {store: past}
    traffic.updates = [PendingUpdate([answer], FakeRef(), 1, 1, 0.0, 0.0, time.monotonic() + 60)]
    assert traffic.refs() == [store, answer]  # the store is late, but it is there
    traffic.updates[0].deadline = past
    with pytest.raises(PartLost, match=r"learner 0: no answer for 600 s"):
        traffic.refs()
    traffic.stores = {FakeRef(hangs=True): past}
    with pytest.raises(PartLost, match=r"the server: no answer for 600 s"):
        traffic.refs()
    traffic.acted = [1]
    traffic.forget()
    assert traffic.refs() == [] and (traffic.stores, traffic.updates, traffic.acted) == ({}, [], [])


def test_a_server_that_died_is_lost_and_one_that_raised_is_an_error(tmp_path):
    traffic, server = server_of(tmp_path)
    traffic.cluster.failing["updates_due"] = [CallFailed("its process died")]
    with pytest.raises(PartLost, match="the server: its process died"):
        server.updates_due()
    with pytest.raises(RuntimeError, match=r"the server: .*'env_steps'"):
        server.load_state_dict({})


def test_failures_are_written_down_until_there_are_too_many(tmp_path):
    traffic, _ = server_of(tmp_path, max_worker_restarts=1)
    assert traffic.cluster.share > 0
    traffic.fail("worker 1", "it died", "replaced")
    assert traffic.cluster.share == 0  # from now on processes take any place
    with pytest.raises(UserError, match="worker 0 failed: it hangs; this is failure 2 of this run"):
        traffic.fail("worker 0", "it hangs", "replaced")
    traffic.failures.close()
    with (traffic.failures.path).open() as file:
        told = [(row["part"], row["cause"], row["action"]) for row in csv.DictReader(file)]
    assert told == [("worker 1", "it died", "replaced"), ("worker 0", "it hangs", "the run ends")]


def test_the_age_of_weights(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(traffic_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(traffic_module, "VERSIONS", 3)
    traffic, _ = server_of(tmp_path)
    assert traffic.version == 0
    for _ in range(4):
        now[0] += 1.0
        traffic.take(FakeRef())
    now[0] += 0.5
    assert traffic.version == 4 and [traffic.age(version) for version in (4, 3.0, 2)] == [0.5, 1.5, 2.5]
    assert traffic.age(0) == 2.5  # forgotten: at least that old

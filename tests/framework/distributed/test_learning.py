"""Learning over processes: how many batches a call carries, the versions of weights, priorities, and the copy here."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from framework_fakes import DQN, PPO
from remote_parts import StandInLearner, StandInServer, traffic_of

from framework.distributed.actors import LearnerActor, ServerActor
from framework.distributed.failures import CallFailed, PartLost
from framework.distributed.learning import RemoteLearning
from framework.distributed.traffic import RemoteServer
from framework.training.callbacks import Callback, Callbacks
from framework.training.learner import Learner

ASYNC = DQN | {"sync": "async", "model_save_fre": 10}


def learning_of(folder, callbacks=(), each=1, stand_ins=True, **settings):
    traffic, algorithm = traffic_of(folder, **settings)
    if stand_ins:
        learner = type("Stand", (StandInLearner,), {"each": each})
        traffic.cluster.stand_ins |= {ServerActor: StandInServer, LearnerActor: learner}
    server = RemoteServer(traffic)
    learning = RemoteLearning(traffic, server, Learner(algorithm), Callbacks(list(callbacks)))
    learning.start()
    return learning, traffic


def test_no_call_goes_beyond_the_next_save(tmp_path):
    learning, traffic = learning_of(tmp_path, **DQN | {"model_save_fre": 10})
    pacing = learning.pacing
    pacing.call_seconds, pacing.update_seconds = 1.0, 1.0  # as many as may be are worth a call
    learning.pacing.owed += 25
    carried = []
    while learning.due():
        learning.submit()
        carried.append(len(outputs := list(learning.receive())))
        traffic.counters.update_step += sum(output.updates for output in outputs)
    assert carried == [10, 10, 5] and pacing.owed == 0 and pacing.learned == 25
    learning.pacing.owed += 40
    learning.submit()
    assert traffic.cluster.made("sample")[-1] == (5,)  # to 30
    assert traffic.version == 4 and len(traffic.updates) == 1  # start, and three calls that came back


def test_calls_that_wait_count_towards_the_save(tmp_path):
    learning, traffic = learning_of(tmp_path, **ASYNC)
    traffic.cluster.late = {"learn"}
    learning.pacing.call_seconds, learning.pacing.update_seconds = 0.004, 0.5  # ceil(500 x 0.004 / 0.5) = 4 a call
    learning.pacing.owed += 30
    assert learning.due()
    learning.submit()
    assert learning.due()  # one may wait behind it
    learning.submit()
    assert not learning.due()  # a third not
    assert traffic.cluster.made("sample") == [(4,), (4,)] and learning.pacing.owed == 22
    assert list(learning.receive()) == []
    traffic.cluster.wait(traffic.updates[0].answers)
    outputs = list(learning.receive())
    assert len(outputs) == 4 and len(traffic.updates) == 1
    traffic.counters.update_step += 4
    age = outputs[0].metrics.pop("time/policy_lag_seconds")
    assert learning.due() and outputs[0].metrics == {"k": 0, "time/policy_lag": 1.0} and 0 <= age < 60
    learning.submit()
    assert traffic.cluster.made("sample")[-1] == (2,)  # 4 done, 4 under way, the model is saved at 10


def test_before_a_save_and_while_settling_nothing_waits(tmp_path):
    learning, traffic = learning_of(tmp_path, **ASYNC)
    traffic.cluster.late = {"learn"}
    learning.pacing.update_seconds = 0.5
    traffic.counters.update_step = 9
    learning.pacing.owed += 5
    learning.submit()
    assert traffic.cluster.made("sample") == [(1,)] and not learning.due()
    traffic.updates.clear()
    assert learning.due()
    learning.pacing.settling = True
    assert not learning.due()


@pytest.mark.parametrize(
    "settings", [DQN | {"buffer_type": "PER_QUE"}, PPO, DQN], ids=["priorities exact", "on-policy", "callbacks"]
)
def test_one_by_one(tmp_path, settings):
    learning, traffic = learning_of(tmp_path, [Callback()] if settings is DQN else [], **settings)
    learning.pacing.call_seconds = learning.pacing.update_seconds = 1.0
    learning.pacing.owed += 3
    learning.submit()
    assert traffic.cluster.made("sample") == [(1,)] and learning.pacing.owed == 2


def test_priorities_go_back_with_their_rows(tmp_path):
    learning, _ = learning_of(tmp_path, **ASYNC | {"buffer_type": "PER_QUE"})
    learning.pacing.call_seconds = learning.pacing.update_seconds = 1.0
    learning.pacing.owed += 3
    learning.submit()
    assert len(list(learning.receive())) == 3
    kept = learning.server.handle.actor.kept
    assert [(rows.tolist(), values.tolist()) for rows, values in kept] == [([10], [0.0]), ([12], [2.0])]


def test_the_lag_is_the_versions_between_acting_and_learning(tmp_path):
    learning, traffic = learning_of(tmp_path, each=4, **PPO | {"sync": "async", "n_workers": 2})
    assert traffic.version == 1  # start gave the learners' own
    traffic.acted = [0, 1, 1, 1]  # two groups of two
    learning.pacing.owed += 2
    learning.submit()
    assert (traffic.updates[0].lag, traffic.acted) == (0.5, [1, 1])
    assert [output.metrics["time/policy_lag"] for output in learning.receive()] == [0.5]
    assert traffic.version == 2 and traffic.weights.value["w"] == 1 and learning.updates_a_batch == 4
    learning.submit()
    assert (traffic.updates[0].lag, traffic.updates[0].updates) == (1.0, 4)


def test_learners_are_told_of_each_other_and_one_that_is_lost_is_named(tmp_path):
    learning, traffic = learning_of(tmp_path, **DQN | {"n_learners": 2})
    (one, *first), (other, *second) = (handle.actor.built for handle in learning.learners)
    assert (one.address, first, second) == ("127.0.0.1:5", [0, 2], [1, 2])
    assert one == other and len(one.secret) == 32 and one.secret not in repr(one)
    learning.pacing.owed += 1
    traffic.cluster.failing["learn"] = [None, CallFailed("its process died")]
    learning.submit()
    with pytest.raises(PartLost, match="learner 1: its process died"):
        list(learning.receive())
    assert len(traffic.updates) == 1
    traffic.cluster.failing["updates_due"] = [CallFailed("killed")]  # it was the server that lost the batch
    with pytest.raises(PartLost, match="the server: killed"):
        list(learning.receive())


def test_learners_of_one_machine_meet_at_a_new_file_each_time(tmp_path):
    learning, traffic = learning_of(tmp_path, **DQN | {"n_learners": 2})
    traffic.cluster.session = SimpleNamespace(folder="/tmp/mine")
    places = []
    for _ in range(2):
        learning.start()
        one, other = (handle.actor.built[0].address for handle in learning.learners)
        assert one == other and one.startswith("file:///tmp/mine/learners-")
        places.append(one)
    assert places[0] != places[1], "the file of a group that has lost a learner is no place for the next"


def test_the_copy_here_is_brought_up_to_date_once_an_update(tmp_path):
    learning, traffic = learning_of(tmp_path, stand_ins=False, **DQN)
    there = learning.learners[0].actor.learner.algorithm
    with torch.no_grad():
        next(there.policy.net.parameters()).fill_(3.0)
    for step, calls in ((0, 1), (0, 1), (1, 2)):
        traffic.counters.update_step = step
        assert next(learning.algorithm.policy.net.parameters()).eq(3.0).all()
        assert len(traffic.cluster.made("state_dict")) == calls
    state = deepcopy(learning.state_dict())
    with torch.no_grad():
        next(learning.learner.algorithm.policy.net.parameters()).zero_()
    learning.load_state_dict(state)
    assert next(learning.algorithm.policy.net.parameters()).eq(3.0).all()
    assert len(traffic.cluster.made("state_dict")) == 2

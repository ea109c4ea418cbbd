"""The evaluator in another process: answers in their order, and what it owes when it is replaced."""

import numpy as np
import pytest
import torch
from framework_fakes import DQN
from remote_parts import traffic_of

from algos.common.errors import UserError
from framework.distributed.actors import EvaluatorActor
from framework.distributed.failures import CallFailed, PartFailed
from framework.distributed.remote_evaluator import RemoteEvaluator
from framework.training.build import build_evaluator
from framework.training.environments import Environments
from framework.training.evaluator import Evaluation


class StandIn:
    """The rewards are the mean weight, one for each episode; the seed is the key."""

    def __init__(self, config, role):
        assert role == "evaluation"

    def evaluate(self, weights, episodes, key, gif, step):
        mean = float(np.mean([value.mean() for value in weights.values()]))
        return Evaluation([key], [mean] * episodes, [1])


def evaluator_of(folder, stand_in=True, **settings):
    traffic, algorithm = traffic_of(folder, **DQN | settings)
    if stand_in:
        traffic.cluster.stand_ins[EvaluatorActor] = StandIn
    return RemoteEvaluator(traffic.cluster, traffic.actor_config, traffic.fail), traffic, algorithm.policy


def fill(policy, value):
    with torch.no_grad():
        for parameter in policy.net.state_dict().values():
            parameter.fill_(value)


def ask(evaluator, policy, value, episodes=2):
    fill(policy, value)
    evaluator.ask(policy, episodes, 10 * value)


def test_answers_come_in_order_with_the_weights_of_their_time(tmp_path):
    evaluator, traffic, policy = evaluator_of(tmp_path)
    assert evaluator.answer(wait=True) is None and traffic.cluster.calls == []
    traffic.cluster.late = {"evaluate"}
    for value in (1, 2):
        ask(evaluator, policy, value)
    assert evaluator.answer(wait=False) is None  # not there yet
    evaluator.answers[1][0].late = False
    assert evaluator.answer(wait=False) is None  # the second has overtaken the first
    assert evaluator.answer(wait=True) == Evaluation([10], [1.0, 1.0], [1])
    assert evaluator.answer(wait=False) == Evaluation([20], [2.0, 2.0], [1])
    assert evaluator.answer(wait=True) is None and evaluator.asked == []


def test_who_waits_behind_another_has_longer(tmp_path):
    evaluator, _, policy = evaluator_of(tmp_path, worker_timeout=100)
    for value in (1, 2, 3):
        ask(evaluator, policy, value)
    first, second, third = (deadline for _, deadline in evaluator.answers)
    # 120 s for its start count once, then 100 s more for each before it
    assert second - first == pytest.approx(-20, abs=2) and third - second == pytest.approx(100, abs=2)


@pytest.mark.parametrize("way", ["dies", "hangs"])
def test_one_that_fails_is_replaced_and_asked_again_for_all_it_owes(tmp_path, way):
    evaluator, traffic, policy = evaluator_of(tmp_path)
    cluster = traffic.cluster
    ask(evaluator, policy, 1)
    if way == "dies":
        cluster.failing["evaluate"] = [CallFailed("its process died")]
    else:
        cluster.hanging = {"evaluate"}
    ask(evaluator, policy, 2)
    ask(evaluator, policy, 3)
    old, cluster.hanging = evaluator.handle, set()
    assert evaluator.answer(wait=True).seeds == [10]
    if way == "hangs":
        assert evaluator.answer(wait=False) is None
        evaluator.answers = [(ref, 0.0) for ref, _ in evaluator.answers]  # it is time
    assert [evaluator.answer(wait=True) for _ in range(3)] == [
        Evaluation([20], [2.0, 2.0], [1]), Evaluation([30], [3.0, 3.0], [1]), None,
    ]  # fmt: skip
    assert cluster.killed == [old] and evaluator.handle is not old and traffic.failures.restarts == 1
    assert [key for _, _, key, *_ in cluster.made("evaluate")] == [10, 20, 30, 20, 30]


def test_failures_come_to_an_end(tmp_path):
    evaluator, traffic, policy = evaluator_of(tmp_path, max_worker_restarts=1)
    traffic.cluster.failing["evaluate"] = [CallFailed("its process died")] * 5
    ask(evaluator, policy, 1)
    with pytest.raises(UserError, match="the evaluator failed: its process died; this is failure 2"):
        evaluator.answer(wait=True)


def test_an_exception_is_not_tried_again(tmp_path, monkeypatch):
    evaluator, traffic, policy = evaluator_of(tmp_path)
    monkeypatch.setattr(StandIn, "evaluate", lambda self, *args: [][0])
    ask(evaluator, policy, 1)
    with pytest.raises(PartFailed, match="the evaluator: IndexError: list index out of range"):
        evaluator.answer(wait=True)
    assert traffic.failures.restarts == 0 and traffic.cluster.killed == []


def test_what_was_asked_can_be_forgotten(tmp_path):
    evaluator, _, policy = evaluator_of(tmp_path)
    ask(evaluator, policy, 1)
    evaluator.cancel()
    assert evaluator.answer(wait=True) is None
    ask(evaluator, policy, 2)
    assert evaluator.answer(wait=True).seeds == [20]


def test_it_evaluates_as_the_one_of_a_single_process(tmp_path):
    evaluator, traffic, policy = evaluator_of(tmp_path, stand_in=False)
    evaluator.ask(policy, 3, 7)
    cfg = traffic.actor_config.cfg
    own = build_evaluator(cfg, Environments(cfg), policy, "evaluation")
    assert evaluator.answer(wait=True) == own.evaluate(3, 7)

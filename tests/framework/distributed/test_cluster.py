"""The cluster without one: what Ray says of calls that fail, and waiting for answers."""

import re
import time

import pytest
from fake_cluster import FakeCluster, FakeRef
from framework_fakes import DQN
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from remote_parts import config

from framework.distributed.cluster import call_failed
from framework.distributed.failures import CallFailed, PartFailed, PartLost

TRACEBACK = """ray::WorkerActor.collect() (pid=7)
  File "/home/me/envs/arm.py", line 12, in step
    raise ValueError("the gripper is stuck")
ValueError: the gripper is stuck"""


class Said(RayError):
    """An error of Ray's with this text."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


class SaidByActor(Said, RayActorError):
    pass


class SaidByMemory(Said, OutOfMemoryError):
    pass


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (SaidByActor("The actor died unexpectedly"), "its process died (killed, or out of memory)"),
        (SaidByActor("The actor is dead because its node has died."), "its machine was lost"),
        (SaidByActor("The node 7 is gone"), "its machine was lost"),
        (SaidByMemory("Task was killed"), "out of memory: Ray's memory monitor killed its process"),
        (Said("some\n  other   words"), "some other words"),
        (Said("x" * 300), "x" * 200),
    ],
)
def test_why_a_process_is_gone(error, cause):
    failed = call_failed(error)
    assert (failed.cause, failed.traceback, failed.lost_input) == (cause, "", False)


def test_what_raised_is_told_with_its_line():
    where = '(/home/me/envs/arm.py:12 in step: raise ValueError("the gripper is stuck"))'
    told = f"ValueError: the gripper is stuck {where}"
    task = RayTaskError("collect", TRACEBACK, ValueError("the gripper is stuck"))
    assert call_failed(task).cause == told and TRACEBACK in call_failed(task).traceback
    start = SaidByActor(f"The actor died because of an error raised in its creation task, {TRACEBACK}")
    assert call_failed(start).cause == told and call_failed(start).traceback


def test_a_call_whose_input_is_lost_had_no_chance():
    failed = call_failed(Said("The input arguments for this task could not be computed: its owner died"))
    assert failed.lost_input and failed.cause == "its input was lost with another process"


def test_learners_that_lost_each_other_are_no_error_of_the_users():
    text = 'File "/x/torch/distributed/c10d.py", line 1, in all_reduce\n    go()\nRuntimeError: peer closed'
    failed = call_failed(RayTaskError("learn", f"{text} This is typically a crash", RuntimeError("peer closed")))
    assert re.match(r"the learners lost contact: RuntimeError: peer closed", failed.cause)
    assert failed.traceback == "" and "typically" not in failed.cause


def test_an_answer_is_waited_for_until_its_deadline():
    cluster = FakeCluster(config(**DQN | {"worker_timeout": 0.05}))
    now = time.monotonic()
    assert cluster.deadline() == pytest.approx(now + 0.05, abs=1)
    assert cluster.deadline(starting=True) == pytest.approx(now + 120.05, abs=1)
    assert cluster.value(FakeRef(7, late=True), "the server") == 7
    silent = FakeRef(hangs=True)
    assert not cluster.ready(silent, time.monotonic() + 9)
    with pytest.raises(CallFailed, match=r"no answer for 0\.05 s"):
        cluster.ready(silent, time.monotonic() - 1)
    with pytest.raises(PartLost, match=r"the server: no answer for 0\.05 s"):
        cluster.value(silent, "the server")
    with pytest.raises(PartLost, match="learner 1: it died"):
        cluster.value(FakeRef(error=CallFailed("it died")), "learner 1")
    with pytest.raises(PartFailed, match="learner 1: KeyError"):
        cluster.value(FakeRef(error=CallFailed("KeyError: 'a'", "KeyError: 'a'")), "learner 1")

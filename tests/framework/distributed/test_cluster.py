"""The cluster without one: addresses, leftovers, what Ray says of calls that fail, and waiting for answers."""

import os
import re
import socket
import time

import pytest
from fake_cluster import FakeCluster, FakeRef
from framework_fakes import DQN
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from remote_parts import config

from algos.common.errors import UserError
from framework.distributed.cluster import FOLDER, call_failed, check_answers, remove_leftovers, running_cluster
from framework.distributed.failures import CallFailed, PartFailed, PartLost


def test_auto_is_the_environments_address_or_the_last_that_was_started(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert running_cluster() == ""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.7:6379\n")
    assert running_cluster() == "10.0.0.7:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.8:1")
    assert running_cluster() == "10.0.0.8:1"


def test_an_address_at_which_nothing_listens_is_refused_at_once():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        check_answers(f"127.0.0.1:{port}")
    with pytest.raises(UserError, match=rf"ray_address=127\.0\.0\.1:{port}: nothing answers there .*ray start --head"):
        check_answers(f"127.0.0.1:{port}")
    with pytest.raises(UserError, match="nothing answers there"):
        check_answers("127.0.0.1:99999")  # no port has that number
    for other in ("", "local", "127.0.0.1:", ":6379", "host:port"):
        check_answers(other)  # not <host>:<port>: Ray itself will tell


def test_only_folders_of_runs_that_are_gone_are_deleted(tmp_path):
    gone = next(pid for pid in range(2**22 + 1, 2**22 + 9) if not os.path.exists(f"/proc/{pid}"))  # beyond any pid
    for name in (f"{FOLDER}{gone}-a", f"{FOLDER}{os.getpid()}-b", f"{FOLDER}mine-c", f"other-{gone}-d"):
        (tmp_path / name / "deep").mkdir(parents=True)
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{FOLDER}{os.getpid()}-b", f"{FOLDER}mine-c", f"other-{gone}-d"}


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

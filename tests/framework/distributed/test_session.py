"""Ray itself: addresses, and what is seen of it when a part of it is gone; the real one is in tests/distributed."""

import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from algos.common.errors import UserError
from framework.distributed import session
from framework.distributed.failures import RayLost
from framework.distributed.session import ESSENTIAL, Session, check_answers, running_cluster


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


class Server:
    """Ray's server as the driver's process asks it."""

    def __init__(self, answer):
        self.answer = answer

    def check_alive(self, nodes, seconds):
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer for _ in nodes]


@pytest.fixture
def watched(monkeypatch):
    """A session of a Ray that consists of these processes and sockets; made without starting one."""

    def make(own, node, answer=True):
        made = object.__new__(Session)
        made.own, made.looked, made.hung, made.ended = own, 0.0, None, threading.Event()
        made.last_words, made.driver, made.agents, made.undo = None, threading.get_ident(), [], ExitStack()
        made.noticed, made.turn = threading.Event(), threading.Lock()
        monkeypatch.setattr(session, "_node", lambda: node)
        worker = SimpleNamespace(gcs_client=Server(answer), current_node_id=b"here")
        monkeypatch.setattr(session.ray._private.worker, "global_worker", worker)
        return made

    return make


def process(code):
    ended = subprocess.Popen([sys.executable, "-c", code])
    ended.wait()
    return ended


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("raylet", "import os; os.kill(os.getpid(), 9)", r"manager of this machine \(raylet\) was killed, or ran out"),
        ("gcs_server", "import os; os.kill(os.getpid(), 9)", r"server \(gcs_server\) was killed, or ran out of memory"),
        ("gcs_server", "raise SystemExit(1)", r"server \(gcs_server\) ended"),
    ],
)
def test_a_ray_of_its_own_is_gone_with_its_server_or_manager(watched, kind, code, told):
    ended = process(code)
    node = SimpleNamespace(dead_processes=lambda: [("log_monitor", ended), (kind, ended)])
    with pytest.raises(RayLost, match=f"^Ray has failed: its {told}") as lost:
        watched(True, node).check()
    assert lost.value.mended_by_resuming
    watched(True, SimpleNamespace(dead_processes=lambda: [("log_monitor", ended)])).check()  # it can do without


def test_a_cluster_is_gone_with_its_head_or_this_machines_manager(watched, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as head, socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(tmp_path / "raylet"))
        manager.listen()
        address = f"127.0.0.1:{head.getsockname()[1]}"
        node = SimpleNamespace(gcs_address=address, raylet_socket_name=str(tmp_path / "raylet"))
        cluster = watched(False, node)
        cluster.check()
        manager.close()
        cluster.check()  # not again so soon: these are calls
        with pytest.raises(RayLost, match=r"its manager of this machine \(raylet\) has ended$") as lost:
            cluster.check(ask=True)
        assert not lost.value.mended_by_resuming
    with pytest.raises(RayLost, match=rf"the head of the cluster at {address} does not answer \(Connection refused\)"):
        watched(False, node).check()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (False, "its server has given this machine up for lost"),
        (session.RayError("Deadline Exceeded"), "its server gave no answer for 20 s"),
    ],
)
def test_a_server_that_hangs_or_has_given_this_machine_up_is_told_when_asked(watched, answer, told):
    own = watched(True, SimpleNamespace(dead_processes=list, all_processes={}), answer)
    own.check()
    with pytest.raises(RayLost, match=told):
        own.check(ask=True)


@pytest.fixture
def hanging(watched, monkeypatch):
    """Makes a session whose Ray hangs, and its programs."""
    monkeypatch.setattr(session, "WATCH", 0.01)
    monkeypatch.setattr(session, "NOTICE", 0.1)
    monkeypatch.setattr(session, "_agents", list)

    def make(answer):
        code = [sys.executable, "-c", "input()"]
        programs = {kind: subprocess.Popen(code, stdin=subprocess.PIPE) for kind in ESSENTIAL}
        processes = {kind: [SimpleNamespace(process=program)] for kind, program in programs.items()}
        return watched(True, SimpleNamespace(all_processes=processes, dead_processes=list), answer), programs

    return make


@pytest.mark.parametrize("answer", [False, session.RayError("Deadline Exceeded")])
def test_a_ray_that_hangs_is_killed_so_that_no_call_waits_for_it(hanging, answer):
    own, programs = hanging(answer)
    watch = threading.Thread(target=own._watch)
    watch.start()
    assert programs["gcs_server"].wait(10) == -9  # the driver may be in a call to it, which returns
    assert programs["raylet"].poll() is None
    with pytest.raises(
        RayLost, match=r"Ray has failed: its server (has given this machine up|gave no answer for 30 s)"
    ):
        own.check()
    watch.join(10)
    assert not watch.is_alive() and programs["raylet"].wait(10) == -9


def test_a_driver_that_is_stuck_in_a_call_is_ended_with_its_last_words(hanging, monkeypatch, tmp_path):
    own, programs = hanging(False)
    said, codes = [], []
    own.last_words = lambda lost: said.append((str(lost), programs["raylet"].poll()))
    own.undo.callback((tmp_path / "removed").touch)
    monkeypatch.setattr(session.os, "_exit", codes.append)
    assert not own._calling()
    monkeypatch.setattr(session, "RAY_CODE", Path(threading.__file__).parent)  # where this thread waits
    watch = threading.Thread(target=own._watch)
    watch.start()
    watch.join(10)
    assert said == [("Ray has failed: its server has given this machine up for lost", None)]
    assert codes == [2] and (tmp_path / "removed").exists()
    assert {program.wait(10) for program in programs.values()} == {-9}


def test_a_ray_that_answers_the_second_time_is_left_alone(watched, monkeypatch):
    own = watched(True, SimpleNamespace(all_processes={}, dead_processes=list))
    answers = ["its server gave no answer", None, "its server gave no answer", None]

    def answer(seconds):
        if len(answers) == 1:
            own.ended.set()
        return answers.pop(0)

    monkeypatch.setattr(session, "_no_answer", answer)
    monkeypatch.setattr(session, "WATCH", 0.01)
    own._watch()
    assert not answers and own.hung is None
    own.check()

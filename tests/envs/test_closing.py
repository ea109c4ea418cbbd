"""An environment whose close() never comes back."""

import contextlib
import signal
import threading
import time

import pytest
from odd_envs import odd

from envs import closing
from envs.resuming.resumable import Resumable


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(closing, "SECONDS", 0.2)


def wait_forever(self):
    while True:
        with contextlib.suppress(Exception):  # an environment that is careful
            threading.Event().wait()


def test_a_close_that_hangs_is_left_and_told_once(caplog):
    env = odd(close=wait_forever)
    start = time.monotonic()
    for _ in range(3):  # its kind is not closed again
        Resumable(env).close()
    assert time.monotonic() - start < 5
    told = [record.message for record in caplog.records]
    assert told == ["close() of Made has not ended after 0.2 s; the run goes on without"]
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0 and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_another_one_is_closed_as_ever():
    closed = []
    Resumable(odd(close=lambda self: closed.append(1))).close()
    thread = threading.Thread(target=Resumable(odd(close=lambda self: closed.append(2))).close)
    thread.start()
    thread.join()
    assert closed == [1, 2]


def test_somebody_elses_timer_stays(monkeypatch):
    rung = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        Resumable(odd(close=lambda self: None)).close()
        assert signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, before)
    finally:
        signal.signal(signal.SIGALRM, before)

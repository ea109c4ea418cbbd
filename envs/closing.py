"""Closes environments that may never come back from it: a socket that waits, a thread that is never joined."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("joyride")
SECONDS = 10.0
_hung: set[type] = set()  # whose close() is not called again in this process


class _TooLong(BaseException):
    """So that no `except Exception` inside close() takes it."""


def close_in_time(close: Any, kind: type, name: str) -> None:
    """Call `close`, of an environment of this kind, but wait no longer than SECONDS: a run must end; that is logged.

    Only the main thread can be called away from what it waits for; on Windows nobody can.
    """
    if kind in _hung:
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        close()
        return
    try:
        with _alarm():
            close()
    except _TooLong:
        _hung.add(kind)
        log.warning("close() of %s has not ended after %g s; the run goes on without", name, SECONDS)


@contextmanager
def _alarm() -> Iterator[None]:
    """Raises _TooLong after SECONDS, unless somebody else uses the timer."""
    if signal.getitimer(signal.ITIMER_REAL)[0] or signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise _TooLong

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

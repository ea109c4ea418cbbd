"""Ctrl-C, SIGTERM and a lost terminal end a run cleanly."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from framework.training.driver import Driver


@contextmanager
def stopped_by_signals(driver: Driver) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the run after the current step; a second one ends it at once.

    A SIGHUP that is ignored stays so: nohup asked for that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    previous = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, frame: Any) -> None:
        driver.signal = number
        signal.signal(number, previous[signal.Signals(number)])

    try:
        for number in numbers:
            signal.signal(number, stop)
        yield
    finally:
        for number in numbers:
            signal.signal(number, previous[number])

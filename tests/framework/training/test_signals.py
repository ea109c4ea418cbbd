"""Ctrl-C, SIGTERM and SIGHUP: the first is polite, the second is what it was before."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from framework.training.signals import stopped_by_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def before():
    """Signals that reached the handler from before; ours are put back in the end."""
    reached = []
    handlers = {number: signal.signal(number, lambda number, frame: reached.append(number)) for number in NUMBERS}
    yield reached
    for number, handler in handlers.items():
        signal.signal(number, handler)


def handlers():
    return [signal.getsignal(number) for number in NUMBERS]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_second_signal_goes_to_the_handler_from_before(before, number):
    driver = SimpleNamespace(signal=0)
    with stopped_by_signals(driver):
        os.kill(os.getpid(), number)
        assert driver.signal == number and before == []
        os.kill(os.getpid(), number)
        assert before == [number]


def test_each_has_its_first_time(before):
    driver = SimpleNamespace(signal=0)
    with stopped_by_signals(driver):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert driver.signal == signal.SIGTERM and before == []
        os.kill(os.getpid(), signal.SIGINT)
        assert driver.signal == signal.SIGTERM and before == [signal.SIGINT]


@pytest.mark.parametrize("sent", [(), (signal.SIGINT,), NUMBERS], ids=["none", "one", "all"])
def test_handlers_come_back_even_after_an_error(before, sent):
    own = handlers()
    with pytest.raises(ZeroDivisionError), stopped_by_signals(SimpleNamespace(signal=0)):
        assert not set(own) & set(handlers())
        for number in sent:
            os.kill(os.getpid(), number)
        raise ZeroDivisionError
    assert handlers() == own
    os.kill(os.getpid(), signal.SIGTERM)
    assert before == [signal.SIGTERM]


def test_another_thread_leaves_handlers_alone(before):
    own, inside = handlers(), []

    def run():
        with stopped_by_signals(SimpleNamespace(signal=0)):
            inside.extend(handlers())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == own == handlers()


def test_nohup_is_heeded(before):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    driver = SimpleNamespace(signal=0)
    with stopped_by_signals(driver):
        os.kill(os.getpid(), signal.SIGHUP)
    assert driver.signal == 0 and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

"""Messages of a run: on stderr bare, in the log file with their time."""

import logging
import re

import pytest

from framework.runs import logs


@pytest.fixture(autouse=True)
def as_before():
    log = logging.getLogger("joyride")
    before = (log.handlers, log.level, log.propagate)
    log.handlers = []
    yield
    log.handlers, log.level, log.propagate = before


def test_to_the_terminal(capsys):
    logs.to_terminal()
    logs.to_terminal()  # twice is once
    logging.getLogger("joyride").info("hello %d", 3)
    logging.getLogger("joyride").debug("not this")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello 3\n")


def test_to_a_file(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("before\n")
    with logs.to_file(path):
        logging.getLogger("joyride").warning("careful")
    logging.getLogger("joyride").warning("afterwards")
    first, second = path.read_text().splitlines()
    assert first == "before" and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING careful", second)


def test_the_file_is_let_go_after_an_error(tmp_path):
    log = logging.getLogger("joyride")
    before = list(log.handlers)  # pytest adds handlers of its own to a logger that does not propagate
    with pytest.raises(KeyError), logs.to_file(tmp_path / "log.txt"):
        assert log.handlers != before
        raise KeyError
    assert log.handlers == before

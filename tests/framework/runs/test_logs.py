"""Messages of a run: on stderr bare, in the log file with their time, beside the logging that the user has set up."""

import io
import logging
import re
import sys
import threading

import pytest
from rich.console import Console
from rich.progress import Progress

from framework.runs import logs

log = logging.getLogger("joyride")
root = logging.getLogger()


@pytest.fixture(autouse=True)
def as_before():
    """Each test leaves both loggers as they were, and so does all that is tested here."""
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)  # Hydra's, of a run in an earlier test
    root.setLevel(logging.WARNING)
    before = ([*log.handlers], log.level, log.propagate, [*root.handlers], root.level)
    yield
    assert before == ([*log.handlers], log.level, log.propagate, [*root.handlers], root.level)


@pytest.fixture
def users(monkeypatch):
    """A handler of the user's on the root logger: what it gets, and how to set its level."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("users: %(message)s"))
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(root, "level", logging.WARNING)
    root.manager._clear_cache()
    yield out
    monkeypatch.undo()
    root.manager._clear_cache()


def test_to_the_terminal(capsys):
    with logs.to_terminal():
        with logs.to_terminal():  # twice is once
            log.info("hello %d", 3)
        log.debug("not this")
    log.info("nor this")
    assert capsys.readouterr() == ("", "hello 3\n")


def test_a_disabled_logger_speaks(capsys):
    """As Hydra's job_logging=disabled leaves it."""
    log.disabled = True
    with logs.to_terminal():
        log.info("hello")
    assert capsys.readouterr().err == "hello\n"


def test_quiet_is_warnings_alone(capsys):
    with logs.to_terminal(quiet=True):
        with logs.to_terminal():  # the outer one decides
            log.info("hello")
        log.warning("careful")
    assert capsys.readouterr().err == "careful\n"


def test_stderr_may_be_exchanged_and_closed_meanwhile(monkeypatch):
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    with logs.to_terminal():
        monkeypatch.setattr(sys, "stderr", second)
        first.close()
        log.info("hello")
        monkeypatch.setattr(sys, "stderr", None)
        log.info("nobody hears it")
    assert second.getvalue() == "hello\n"


def test_a_line_on_a_terminal_is_neither_folded_nor_coloured(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(logs, "console", Console(file=out, force_terminal=True, width=40))
    line = "everything is in tasks/a b [red]/Train_CartPole-v1_DQN_20260101-000000 :x: 12 'and' http://more"
    with logs.to_terminal():
        log.info("%s", line)
    assert out.getvalue() == line + "\n"


def test_what_the_user_asked_for_reaches_the_users_handlers(users, capsys):
    with logs.to_terminal():
        log.info("hello")
        log.warning("careful")
    assert users.getvalue() == "users: careful\n" and capsys.readouterr().err == "hello\ncareful\n"
    root.setLevel(logging.INFO)
    with logs.to_terminal(), logs.to_file("/dev/null"):
        log.info("once more")
    assert users.getvalue() == "users: careful\nusers: once more\n"


def test_nothing_is_told_twice_on_the_terminal(users, capsys, monkeypatch):
    monkeypatch.setattr(root.handlers[0], "stream", sys.stderr)
    with logs.to_terminal():
        log.info("hello")
        log.warning("careful")
    assert capsys.readouterr().err == "hello\nusers: careful\n"


def test_nor_where_the_user_has_set_up_no_logging(capsys, monkeypatch):
    """logging then shows warnings by itself (`logging.lastResort`)."""
    monkeypatch.setattr(root, "handlers", [])
    with logs.to_terminal():
        log.warning("careful")
    assert capsys.readouterr().err == "careful\n"


def test_the_command_line_is_alone(users, capsys):
    with logs.to_terminal(alone=True), logs.to_terminal():
        log.warning("careful")
    assert users.getvalue() == "" and capsys.readouterr().err == "careful\n"


def test_to_a_file(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("before\n")
    with logs.to_file(path):
        log.warning("careful")
    log.warning("afterwards")
    first, second = path.read_text().splitlines()
    assert first == "before" and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING careful", second)


def test_the_file_is_let_go_after_an_error(tmp_path):
    before = [*log.handlers]
    with pytest.raises(KeyError), logs.to_file(tmp_path / "log.txt"):
        assert log.handlers != before
        raise KeyError
    assert log.handlers == before


def test_two_runs_in_two_threads_have_files_of_their_own(tmp_path, capsys):
    both = threading.Barrier(2)

    def run(name):
        with logs.to_terminal(quiet=name == "a"), logs.to_file(tmp_path / name):
            both.wait(10)
            log.info("of %s", name)
            both.wait(10)

    threads = [threading.Thread(target=run, args=name) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "ab":
        assert [line[-4:] for line in (tmp_path / name).read_text().splitlines()] == [f"of {name}"]
    assert capsys.readouterr().err == "of b\n"


class Gone(io.StringIO):
    """A terminal whose window was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")

    def isatty(self):
        return True


@pytest.mark.parametrize("stderr", [Gone(), None], ids=["gone", "closed"])
def test_a_terminal_that_is_gone_ends_nothing(monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    with logs.to_terminal():
        log.info("unseen")
        logs.console.print("unseen too")


def test_the_bar_may_stand_in_for_stderr(capsys):
    with Progress(console=logs.console, disable=False) as bar:
        bar.add_task("", total=1)
        print("a line of the user's", file=sys.stderr)
    assert capsys.readouterr().err.count("a line of the user's") == 1

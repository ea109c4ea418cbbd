"""Failures of other processes: what their tracebacks say in a line, and how many a run may have."""

import csv
import importlib
import logging
import sys
import traceback

import pytest

from algos.common.errors import UserError
from framework.distributed.failures import (
    FAILURES,
    CallFailed,
    FailureLog,
    PartFailed,
    cause_in,
    user_error_in,
    user_frames,
)

HOME_MADE = """
import numpy as np
import torch
from algos.common.errors import UserError

class Home:
    def value(self):
        raise ValueError("bad state")

    def nothing_said(self):
        assert 1 == 2

    def colon_above(self):
        if not self: pass
        else: raise KeyError

    def numpy(self):
        return np.zeros(3).reshape(2, 2)

    def library(self):
        return torch.nn.Linear(2, 2).load_state_dict({})

    def lines(self):
        raise ValueError("bad state\\nhint: call reset first")

    def chain(self):
        try:
            {}["x"]
        except KeyError as error:
            raise RuntimeError("no x") from error

    def while_handling(self):
        try:
            self.value()
        except ValueError:
            self.numpy()

    def user(self):
        raise UserError("env_cfg.kwargs: there is no level 9")

    def caught(self):
        try:
            self.user()
        except UserError as error:
            raise RuntimeError("no level") from error

class TooHot(Exception):
    pass

def too_hot():
    raise TooHot("99.5 degrees: stop")
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A module of the user's."""
    (tmp_path / "home_made_faults.py").write_text(HOME_MADE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("home_made_faults")
    yield module
    monkeypatch.delitem(sys.modules, "home_made_faults")


def text_of(function):
    """The text of the traceback with which a function ends."""
    with pytest.raises(Exception) as error:
        function()
    return "".join(traceback.format_exception(error.value))


def line_of(code):
    """The number of the line with this code in the user's module."""
    return next(number for number, line in enumerate(HOME_MADE.splitlines(), start=1) if code in line)


# What Ray 2.60 says of an exception in an actor: colours, no "Traceback", marks of frames that it leaves out.
RAY = """\x1b[36mray::WorkerActor.collect()\x1b[39m (pid=30822, ip=192.0.2.2, actor_id=6aef4eba55, repr=<framework.distributed.actors.WorkerActor object at 0x7f59923b1f10>)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/work/main/framework/distributed/actors.py", line 87, in collect
    rollout, stats = self.worker.collect(n_steps, step, to_tensors(weights), max_episodes)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/work/main/.venv/lib/python3.11/site-packages/gymnasium/core.py", line 342, in step
    return self.env.step(action)
           ^^^^^^^^^^^^^^^^^^^^^
  File "/home/me/pushing.py", line 9, in step
    {code}
           ^^^^^^
{error}"""  # noqa: E501
CREATION = (
    "The actor died because of an error raised in its creation task, \x1b[36mray::WorkerActor.__init__()\x1b[39m"
    " (pid=31119, ip=192.0.2.2, actor_id=210980c834,"
    " repr=<framework.distributed.actors.WorkerActor object at 0x7fbf440f8f90>)\n"
    '  File "/work/main/.venv/lib/python3.11/site-packages/gymnasium/envs/registration.py", line 740, in make\n'
    "    env = env_creator(**env_spec_kwargs)\n"
    '  File "/home/me/pushing.py", line 6, in __init__\n'
    '    if how == "init": raise ValueError("cannot begin")\n'
    "                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
    "ValueError: cannot begin"
)


def ray_text(code, error):
    return RAY.replace("{code}", code).replace("{error}", error)


# The cause in a line


@pytest.mark.parametrize(
    ("name", "error", "function", "code"),
    [
        ("value", "ValueError: bad state", "value", 'raise ValueError("bad state")'),
        ("nothing_said", "AssertionError", "nothing_said", "assert 1 == 2"),
        ("colon_above", "KeyError", "colon_above", "else: raise KeyError"),
        (
            "numpy",
            "ValueError: cannot reshape array of size 3 into shape (2,2)",
            "numpy",
            "return np.zeros(3).reshape(2, 2)",
        ),
        ("chain", "RuntimeError: no x", "chain", 'raise RuntimeError("no x") from error'),
        (
            "while_handling",
            "ValueError: cannot reshape array of size 3 into shape (2,2)",
            "numpy",
            "return np.zeros(3).reshape(2, 2)",
        ),
    ],
)
def test_cause_is_the_error_and_the_users_line(home, name, error, function, code):
    cause = cause_in(text_of(getattr(home.Home(), name)))
    assert cause == f"{error} ({home.__file__}:{line_of(code)} in {function}: {code})"


def test_cause_names_the_users_line_not_the_librarys(home):
    cause = cause_in(text_of(home.Home().library))
    code = "return torch.nn.Linear(2, 2).load_state_dict({})"
    assert cause.startswith("RuntimeError: ") and "\n" not in cause
    assert cause.endswith(f"({home.__file__}:{line_of(code)} in library: {code})")


def test_cause_of_an_error_of_several_lines_is_its_first(home):
    cause = cause_in(text_of(home.Home().lines))
    assert cause.startswith("ValueError: bad state") and "\n" not in cause


def test_cause_has_the_errors_own_name(home):
    assert cause_in(text_of(home.too_hot)).startswith("TooHot: 99.5 degrees: stop (")


@pytest.mark.parametrize(
    ("code", "error", "expected"),
    [
        ('raise ValueError("bad state")', "ValueError: bad state", "ValueError: bad state"),
        ("assert 1 == 2", "AssertionError", "AssertionError"),
        ("raise pushing.TooFar(3)", "pushing.TooFar: 3", "TooFar: 3"),
    ],
)
def test_cause_in_the_words_of_ray(code, error, expected):
    assert cause_in(ray_text(code, error)) == f"{expected} (/home/me/pushing.py:9 in step: {code})"


def test_cause_of_an_actor_that_could_not_be_made():
    code = 'if how == "init": raise ValueError("cannot begin")'
    assert cause_in(CREATION) == f"ValueError: cannot begin (/home/me/pushing.py:6 in __init__: {code})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unknown error"),
        ("  \n ", "unknown error"),
        ("something odd", "something odd"),
        ("OSError: [Errno 28] No space left on device", "OSError: [Errno 28] No space left on device"),
        ('  File "/a/site-packages/b.py", line 1, in f\n    g()\nMemoryError: 1 GiB', "MemoryError: 1 GiB"),
    ],
)
def test_cause_without_a_line_of_the_users(text, expected):
    assert cause_in(text) == expected


# A UserError keeps its words


def test_words_of_a_user_error(home):
    words = "env_cfg.kwargs: there is no level 9"
    assert user_error_in(text_of(home.Home().user)) == words
    assert user_error_in(ray_text("raise UserError(...)", f"algos.common.errors.UserError: {words}")) == words
    assert user_error_in(f"UserError: {words}") == words


@pytest.mark.parametrize("name", ["value", "nothing_said", "chain"])
def test_no_words_in_other_errors(home, name):
    assert user_error_in(text_of(getattr(home.Home(), name))) is None


def test_an_error_because_of_a_user_error_is_another_error(home):
    text = text_of(home.Home().caught)
    assert user_error_in(text) is None and cause_in(text).startswith("RuntimeError: no level")


# The frames that the user knows


def test_frames_of_libraries_are_left_out(home):
    text = text_of(home.Home().library)
    shown = user_frames(text)
    assert "site-packages" in text and "site-packages" not in shown and "load_state_dict" in shown
    assert 'home_made_faults.py", line' in shown and "RuntimeError: Error(s) in loading" in shown
    assert shown.splitlines()[0] == "Traceback (most recent call last):"


def test_frames_in_the_words_of_ray():
    shown = user_frames(ray_text("assert 1 == 2", "AssertionError"))
    assert "gymnasium" not in shown and "actors.py" not in shown and "ray::" not in shown
    assert shown.splitlines()[-4:] == [
        '  File "/home/me/pushing.py", line 9, in step',
        "    assert 1 == 2",
        "           ^^^^^^",
        "AssertionError",
    ]


# What a failure means for the run


def test_a_process_that_died_can_be_replaced():
    for startup in (False, True):
        CallFailed("its process died").raise_if_hopeless("worker 0", startup)  # raises nothing


def test_a_user_error_ends_the_run_in_its_own_words(home):
    failure = CallFailed("whatever", text_of(home.Home().user))
    for startup in (False, True):
        with pytest.raises(UserError, match=r"^env_cfg.kwargs: there is no level 9$"):
            failure.raise_if_hopeless("worker 0", startup)


def test_an_exception_at_the_start_is_told_like_a_mistake_of_the_users(home):
    text = text_of(home.Home().nothing_said)
    with pytest.raises(
        UserError, match=r"^worker 1 .*AssertionError.*home_made_faults.py:\d+ in nothing_said"
    ) as error:
        CallFailed(cause_in(text), text).raise_if_hopeless("worker 1", startup=True)
    assert "\n" not in str(error.value)


def test_an_exception_of_a_part_that_cannot_be_replaced_is_a_programming_error(home):
    text = text_of(home.Home().value)
    with pytest.raises(PartFailed, match=r"^learner 0: ValueError: bad state \(.*home_made_faults.py:\d+ in value"):
        CallFailed(cause_in(text), text).raise_if_hopeless("learner 0")


# The table


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class When:
    """Stands for a run's counters and its recorder."""

    seconds, env_step, update_step = 0.0, 0, 0

    def wall_time(self):
        return self.seconds


def make(folder, limit, when=None):
    when = when or When()
    return FailureLog(folder, limit, when, when)


def test_a_run_without_failures_has_no_table(tmp_path):
    faults = make(tmp_path, 3)
    faults.close()
    assert list(tmp_path.iterdir()) == []


def test_a_row_and_a_line_for_each_failure(tmp_path, caplog):
    when = When()
    faults = make(tmp_path, 3, when)
    with caplog.at_level(logging.WARNING, "joyride"):
        when.seconds, when.env_step, when.update_step = 1.23456, 300, 20
        faults.add("worker 1", 'ValueError: a "bad", state', "replaced")
        assert len(table(tmp_path / "faults.csv")) == 1  # written at once
        when.seconds, when.env_step, when.update_step = 2.0, 500, 40
        faults.add("the server", "its process died", "the run goes back")
    faults.close()
    one, two = table(tmp_path / "faults.csv")
    assert tuple(one) == FAILURES == ("wall_time", "env_step", "update_step", "part", "cause", "action")
    assert list(one.values()) == ["1.235", "300", "20", "worker 1", 'ValueError: a "bad", state', "replaced"]
    assert list(two.values()) == ["2.000", "500", "40", "the server", "its process died", "the run goes back"]
    first, second = (record.getMessage() for record in caplog.records)
    assert first == 'worker 1 failed: ValueError: a "bad", state; replaced (restart 1 of 3)'
    assert "the server" in second and "restart 2 of 3" in second


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_one_failure_too_many_ends_the_run_with_its_cause(tmp_path, limit):
    faults = make(tmp_path, limit)
    for number in range(limit):
        faults.add("worker 0", f"cause {number}", "replaced")
    with pytest.raises(UserError) as error:
        faults.add("worker 0", "the last cause", "replaced")
    said = str(error.value)
    assert "worker 0 failed: the last cause" in said and f"failure {limit + 1} of this run" in said
    assert f"general_cfg.max_worker_restarts={limit}" in said and "\n" not in said
    rows = table(tmp_path / "faults.csv")
    assert [row["action"] for row in rows] == ["replaced"] * limit + ["the run ends"]
    assert rows[-1]["cause"] == "the last cause"
    faults.close()


def test_a_resumed_run_goes_on_in_its_table(tmp_path):
    for number in (1, 2):
        faults = make(tmp_path, 1)
        faults.add(f"worker {number}", "killed", "replaced")  # each part of a run has its own count
        faults.close()
    assert [row["part"] for row in table(tmp_path / "faults.csv")] == ["worker 1", "worker 2"]

"""Schedules of learning rate, clip range, entropy bonus, epsilon and priorities."""

import math
import re

import pytest

from algos.common.errors import UserError
from algos.common.schedule import Schedule, epsilon_at

KEY = "algo_cfg.lr"


@pytest.mark.parametrize("value", [0.25, "0.25", "2.5e-1"])
def test_a_constant_stays(value):
    schedule = Schedule(value, None, KEY)
    assert [schedule(step) for step in (0, 10, 10**9)] == [0.25] * 3


def test_a_linear_one_falls_to_zero_and_stays_there():
    schedule = Schedule("lin_0.2", 1000, "algo_cfg.clip")
    assert [schedule(step) for step in (0, 250, 500, 1000, 2000)] == pytest.approx([0.2, 0.15, 0.1, 0, 0])


@pytest.mark.parametrize(
    ("value", "steps", "expected"),
    [
        ({"kind": "linear", "start": 1.0, "end": 0.2}, (0, 500, 1000, 9999), (1, 0.6, 0.2, 0.2)),
        ({"start": "1e-3"}, (0, 500, 1000), (1e-3, 5e-4, 0)),
        ({"start": 0.4, "end": 1, "steps": 100}, (0, 50, 100, 900), (0.4, 0.7, 1, 1)),  # upwards, as of PER's beta
        ({"start": 1, "end": 0.5, "fraction": 0.1}, (0, 50, 100, 900), (1, 0.75, 0.5, 0.5)),
        # (1 + cos(pi / 2)) / 2 = 1/2, (1 + cos(pi / 3)) / 2 = 3/4
        ({"kind": "cosine", "start": 1, "end": 0.2, "steps": 600}, (0, 200, 300, 600, 900), (1, 0.8, 0.6, 0.2, 0.2)),
        ({"kind": "exp", "start": 1, "end": 0.2, "steps": 50}, (0, 50, 10**6), (1, 0.2 + 0.8 / math.e, 0.2)),
        ({"kind": "exp", "start": 1, "fraction": 0.5}, (500, 1000), (math.exp(-1), math.exp(-2))),
    ],
)
def test_mappings(value, steps, expected):
    schedule = Schedule(value, 1000, KEY)
    assert [schedule(step) for step in steps] == pytest.approx(expected)


@pytest.mark.parametrize("value", ["fast", "lin_", "lin_lin_1", None, True, [1]])
def test_another_notation_is_refused(value):
    with pytest.raises(UserError, match=r"algo_cfg\.lr=.* must be a number, a linear schedule"):
        Schedule(value, 10, KEY)


@pytest.mark.parametrize("value", [-1e-3, "lin_-1", "nan", "inf", "lin_inf"])
def test_a_value_out_of_range_is_refused(value):
    with pytest.raises(UserError, match=r"algo_cfg\.lr=.* is out of range"):
        Schedule(value, 10, KEY)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"begin": 1}, "algo_cfg.lr.begin is unknown in a schedule; known: end, fraction, kind, start, steps"),
        ({"stat": 1}, "algo_cfg.lr.stat is unknown in a schedule; did you mean 'start'?"),
        ({"kind": "step", "start": 1}, "algo_cfg.lr.kind=step is not allowed; choose from linear, cosine, exp"),
        ({"end": 1}, "algo_cfg.lr: a schedule needs start"),
        ({"start": "quick"}, "algo_cfg.lr.start=quick is not a number"),
        ({"start": -1}, "algo_cfg.lr.start=-1 is out of range: it must be >= 0"),
        ({"start": 1, "end": "inf"}, "algo_cfg.lr.end=inf is out of range: it must be >= 0"),
        ({"start": 1, "steps": 0}, "algo_cfg.lr.steps=0 is out of range: it must be > 0"),
        ({"start": 1, "steps": 10, "fraction": 0.5}, "algo_cfg.lr: give steps or fraction, not both"),
        ({"kind": "exp", "start": 1}, "algo_cfg.lr: an exp schedule needs steps (or fraction), its time constant"),
    ],
)
def test_a_wrong_mapping_is_told_in_one_line(value, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}$"):
        Schedule(value, 10, KEY)


@pytest.mark.parametrize("value", ["lin_1e-3", {"start": 1e-3}, {"start": 1e-3, "fraction": 0.5}])
def test_what_ends_with_the_run_needs_an_end(value):
    with pytest.raises(UserError, match=r"^algo_cfg\.lr.* decays until general_cfg\.max_env_step, which is not set$"):
        Schedule(value, None, KEY)
    assert Schedule({"start": 1e-3, "steps": 10}, None, KEY)(5) == pytest.approx(5e-4)


def test_exponential_epsilon():
    # after one time constant 1/e of the way from end to start is left: 0.1 + 0.8 / e
    assert epsilon_at(0, 0.9, 0.1, 500, "exp") == pytest.approx(0.9)
    assert epsilon_at(500, 0.9, 0.1, 500, "exp") == pytest.approx(0.1 + 0.8 / math.e)
    assert epsilon_at(10**9, 0.9, 0.1, 500, "exp") == 0.1


def test_linear_epsilon():
    assert [epsilon_at(s, 1.0, 0.2, 100, "linear") for s in (0, 50, 100, 900)] == pytest.approx([1, 0.6, 0.2, 0.2])

"""Schedules of learning rate, clip range and epsilon."""

import math

import pytest

from algos.common.errors import UserError
from algos.common.schedule import Schedule, epsilon_at


@pytest.mark.parametrize("value", [0.25, "0.25", "2.5e-1"])
def test_a_constant_stays(value):
    schedule = Schedule(value, None, "algo_cfg.lr")
    assert [schedule(step) for step in (0, 10, 10**9)] == [0.25] * 3


def test_a_linear_one_falls_to_zero_and_stays_there():
    schedule = Schedule("lin_0.2", 1000, "algo_cfg.clip")
    assert [schedule(step) for step in (0, 250, 500, 1000, 2000)] == pytest.approx([0.2, 0.15, 0.1, 0, 0])


@pytest.mark.parametrize("value", ["fast", "lin_", "lin_lin_1", None, True, [1]])
def test_another_notation_is_refused(value):
    with pytest.raises(UserError, match=r"algo_cfg\.lr=.* is not a number nor a linear schedule"):
        Schedule(value, 10, "algo_cfg.lr")


@pytest.mark.parametrize("value", [-1e-3, "lin_-1", "nan", "inf", "lin_inf"])
def test_a_value_out_of_range_is_refused(value):
    with pytest.raises(UserError, match=r"algo_cfg\.lr=.* is out of range"):
        Schedule(value, 10, "algo_cfg.lr")


def test_a_linear_one_needs_an_end():
    with pytest.raises(UserError, match=r"decays until general_cfg\.max_env_step"):
        Schedule("lin_1e-3", None, "algo_cfg.lr")


def test_exponential_epsilon():
    # after one time constant 1/e of the way from end to start is left: 0.1 + 0.8 / e
    assert epsilon_at(0, 0.9, 0.1, 500, "exp") == pytest.approx(0.9)
    assert epsilon_at(500, 0.9, 0.1, 500, "exp") == pytest.approx(0.1 + 0.8 / math.e)
    assert epsilon_at(10**9, 0.9, 0.1, 500, "exp") == 0.1


def test_linear_epsilon():
    assert [epsilon_at(s, 1.0, 0.2, 100, "linear") for s in (0, 50, 100, 900)] == pytest.approx([1, 0.6, 0.2, 0.2])

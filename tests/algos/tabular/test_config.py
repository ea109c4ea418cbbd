"""Settings of the tabular algorithms: how epsilon decays, and values that contradict each other."""

import math
import re

import pytest

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.tabular.config import (
    DynaQConfig,
    MonteCarloConfig,
    PolicyIterationConfig,
    QLearningConfig,
    ValueIterationConfig,
)

LEARNS = (QLearningConfig, MonteCarloConfig, DynaQConfig)
PLANS = (ValueIterationConfig, PolicyIterationConfig)


@pytest.mark.parametrize("config", [*LEARNS, *PLANS])
def test_the_defaults_are_allowed(config):
    check_settings(config(), "algo_cfg")


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("linear", 0, 1.0),
        ("linear", 25, 0.8),
        ("linear", 200, 0.2),
        ("exp", 0, 1.0),
        ("exp", 100, 0.2 + 0.8 / math.e),
    ],
)
def test_epsilon_decays(schedule, step, expected):
    config = QLearningConfig(epsilon_start=1.0, epsilon_end=0.2, epsilon_decay=100, epsilon_schedule=schedule)
    assert config.epsilon(step) == pytest.approx(expected)


def test_who_plans_does_not_explore():
    assert [config().epsilon(step) for config in PLANS for step in (0, 1000)] == [0.0] * 4


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            DynaQConfig(epsilon_start=0.1, epsilon_end=0.5),
            "algo_cfg.epsilon_end=0.5 is above algo_cfg.epsilon_start=0.1",
        ),
        (MonteCarloConfig(visit="last"), "algo_cfg.visit=last is not allowed; choose from first, every"),
        (DynaQConfig(planning_steps=-1), "algo_cfg.planning_steps=-1 is out of range: it must be >= 0"),
        (PolicyIterationConfig(gamma=1.0), "algo_cfg.gamma=1.0 is out of range: it must be >= 0 and < 1"),
        (QLearningConfig(lr="fast"), "algo_cfg.lr=fast must be a number"),
    ],
)
def test_what_does_not_go_is_told(config, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}"):
        check_settings(config, "algo_cfg")


def test_values_may_be_undiscounted_where_they_are_iterated():
    check_settings(ValueIterationConfig(gamma=1.0), "algo_cfg")

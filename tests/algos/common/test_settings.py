"""Checked fields of the config dataclasses."""

import re
from dataclasses import dataclass

import pytest

from algos.common.errors import UserError
from algos.common.settings import check_settings, require, setting
from algos.policy_gradient.config import A2CConfig, PPOConfig, REINFORCEConfig
from algos.value.config import DQNConfig


@dataclass
class Example:
    share: float = setting(0.5, ge=0, le=1)
    size: int = setting(4, ge=1, also=(-1,))
    open: float = setting(0.5, gt=0, lt=1)
    kind: str = setting("mse", choices=("mse", "huber"))
    norm: float | None = setting(None, gt=0)
    rate: float | str = setting(1e-3, schedule=True)
    names: list = setting(factory=list)
    plain: int = 3


@pytest.mark.parametrize("change", [{}, {"share": 0}, {"share": 1}, {"size": -1}, {"norm": 1e-9}, {"rate": "lin_1"}])
def test_allowed_values_pass(change):
    check_settings(Example(**change), "algo_cfg")


@pytest.mark.parametrize(("key", "value"), [("norm", float("inf")), ("plain", float("nan")), ("plain", -float("inf"))])
def test_numbers_are_finite(key, value):
    with pytest.raises(UserError, match=f"a.{key}={value} must be a finite number"):
        check_settings(Example(**{key: value}), "a")


def test_each_instance_has_its_own_default_list():
    assert Example().names is not Example().names


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"share": 1.5}, "algo_cfg.share=1.5 is out of range: it must be >= 0 and <= 1"),
        ({"share": float("nan")}, "algo_cfg.share=nan is out of range: it must be >= 0 and <= 1"),
        ({"size": 0}, "algo_cfg.size=0 is out of range: it must be >= 1, or -1"),
        ({"open": 1}, "algo_cfg.open=1 is out of range: it must be > 0 and < 1"),
        ({"kind": "hubber"}, "algo_cfg.kind=hubber is not allowed; choose from mse, huber (did you mean 'huber'?)"),
        ({"kind": "xyz"}, "algo_cfg.kind=xyz is not allowed; choose from mse, huber"),
        ({"norm": 0.0}, "algo_cfg.norm=0.0 is out of range: it must be > 0"),
        (
            {"rate": "quick"},
            'algo_cfg.rate=quick must be a number, a linear schedule such as "lin_1e-3", '
            "or a mapping such as {kind: linear, start: 1e-3, end: 1e-4}",
        ),
        ({"rate": {"start": -1}}, "algo_cfg.rate.start=-1 is out of range: it must be >= 0"),
    ],
)
def test_another_value_is_named_with_what_is_allowed(change, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}$"):
        check_settings(Example(**change), "algo_cfg")


@pytest.mark.parametrize("config", [DQNConfig, PPOConfig, A2CConfig, REINFORCEConfig])
def test_the_defaults_are_allowed(config):
    check_settings(config(), "algo_cfg")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"batch_size": 65, "buffer_size": 64}, "batch_size=65"),
        ({"learning_starts": 65, "buffer_size": 64}, "learning_starts=65"),
        ({"epsilon_start": 0.1, "epsilon_end": 0.2}, "epsilon_end=0.2"),
    ],
)
def test_dqn_refuses_values_that_contradict_each_other(change, word):
    with pytest.raises(UserError, match=rf"algo_cfg\.{word}"):
        check_settings(DQNConfig(**change), "algo_cfg")


def test_require():
    require(True, "unused")
    with pytest.raises(UserError, match="because"):
        require(False, "because")

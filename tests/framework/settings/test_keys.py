"""Keys: their full form, their types, and what is said of a wrong one."""

from typing import Any

import pytest

from algos.common.errors import UserError
from algos.policy_gradient.config import PPOConfig
from algos.value.config import DQNConfig
from framework.settings.keys import (
    check_type,
    expand_key,
    field_type,
    field_types,
    fit,
    is_free,
    sections_with,
    type_text,
    unknown_key,
)
from framework.settings.schema import GeneralConfig

SECTIONS = sections_with(DQNConfig)


@pytest.mark.parametrize(
    ("key", "full"),
    [
        ("lr", "algo_cfg.lr"),
        ("algo_cfg.lr", "algo_cfg.lr"),
        ("kwargs.gravity", "env_cfg.kwargs.gravity"),
        ("value_layers.0.layer_size", "algo_cfg.value_layers.0.layer_size"),
        ("expected.std", "expected.std"),
        ("env_cfg", "env_cfg"),
    ],
)
def test_full_form(key: str, full: str) -> None:
    assert expand_key(key, SECTIONS, "DQN") == full


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sede", "unknown key 'sede'; did you mean 'general_cfg.seed'?"),
        ("std", "unknown key 'std'"),  # of `expected`, whose keys need the section
        ("seed.x", "unknown key 'general_cfg.seed.x': general_cfg.seed is an integer, it has no keys"),
        ("n_epochs", "unknown key 'n_epochs': 'algo_cfg.n_epochs' is a setting of PQN, PPO, PPO_KL, GAIL, not of DQN"),
        ("learning_rate", "unknown key 'learning_rate'; here it is algo_cfg.lr"),
        ("env_cfg.env_name", "unknown key 'env_cfg.env_name'; here it is env_cfg.id"),
        ("total_timestep", "unknown key 'total_timestep'; total_timesteps: here it is general_cfg.max_env_step"),
        ("save_freq", "unknown key 'save_freq'; here it is general_cfg.model_save_fre"),
        ("train.n_envs", "unknown key 'train.n_envs'; did you mean 'general_cfg.n_envs'?"),
        ("general_cgf.seed", "unknown key 'general_cgf.seed'; did you mean 'general_cfg.seed'?"),
        ("expected.mean", "unknown key 'expected.mean'; known: expected.mean_reward, expected.std, "),
    ],
)
def test_unknown_keys(key: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        expand_key(key, SECTIONS, "DQN")
    assert str(error.value).startswith(message)


def test_a_key_like_no_other() -> None:
    assert unknown_key("qwertyuiop", SECTIONS, "DQN").endswith("`python main.py --help DQN` explains every key")
    assert unknown_key("expected.qwertyuiop", SECTIONS, "DQN").startswith(
        "unknown key 'expected.qwertyuiop'; known: expected.mean_reward, expected.std"
    )


def test_types() -> None:
    assert field_type("general_cfg.seed", SECTIONS, "DQN") is int
    assert field_type("env_cfg.kwargs.anything.below", SECTIONS, "DQN") is Any
    assert field_types(PPOConfig)["gamma"] is float and field_types(GeneralConfig)["loggers"] == list[str]
    free = [key for key in ("env_cfg.kwargs", "env_cfg.kwargs.a", "general_cfg.seed", "algo_cfg.lr")
            if is_free(key, field_type(key, SECTIONS, "DQN"))]  # fmt: skip
    assert free == ["env_cfg.kwargs", "env_cfg.kwargs.a"]


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (float, "a number"),
        (float | None, "a number or null"),
        (list[str], "a list of text values"),
        (list[Any], "a list"),
        (dict[str, Any], "a mapping"),
        (GeneralConfig, "a mapping"),
    ],
)
def test_types_in_words(hint: Any, text: str) -> None:
    assert type_text(hint) == text


def test_values_of_the_right_type_pass() -> None:
    for value, hint in (
        (1, float),
        (None, float | None),
        ("a", str),
        ([1], list[Any]),
        ("${a.b}", int),
        ({"a": 1}, Any),
    ):
        check_type("key", value, hint)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("high", float, "key=high is of the wrong type: expected a number"),
        (None, int, "key=null is of the wrong type: expected an integer"),
        (1e5, int, "key=100000.0 is of the wrong type: expected an integer"),
        (5, list[Any], "key=5 is of the wrong type: expected a list"),
        ("${a", Any, "key=${a is not a well-formed interpolation: "),
    ],
)
def test_values_of_another_type(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_type("key", value, hint)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_values_are_fitted_to_their_keys() -> None:
    assert fit("key", 1e5, int) == 100_000 and isinstance(fit("key", 1e5, int | None), int)
    assert fit("key", 2.0, float) == 2.0 and fit("key", False, str, "off") == "off" and fit("key", 8, int, "8") == 8
    for value, text, message in ((False, None, "put it in quotes"), ("???", None, "is not a value")):
        with pytest.raises(UserError, match=message):
            fit("key", value, str, text)
    for value, text in ((8, "010"), (90, "1:30")):
        with pytest.raises(UserError, match=f"YAML reads that as {value}"):
            fit("key", value, int, text)

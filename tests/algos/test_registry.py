"""Algorithms by name."""

import subprocess
import sys
from dataclasses import is_dataclass

import pytest

from algos.base import Algorithm
from algos.common.errors import UserError
from algos.registry import ALGORITHMS, ALIASES, canonical_name, get_algorithm, get_config_class
from algos.value.config import DQNConfig


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_its_class_and_settings(name):
    config = get_config_class(name)
    assert issubclass(get_algorithm(name), Algorithm) and is_dataclass(config)
    assert get_algorithm(name).Config is config


def test_other_names():
    assert all(canonical_name(alias) == name and name in ALGORITHMS for alias, name in ALIASES.items())
    assert canonical_name("mine.algos.Own") == canonical_name("mine.algos:Own") == "mine.algos:Own"
    assert get_config_class("algos.value.dqn.DQN") is DQNConfig


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SACD", "unknown algorithm 'SACD'; did you mean 'SAC_D'?\nan algorithm outside this tree is named"),
        ("algos.nowhere:DQN", "cannot find module 'algos.nowhere' of algorithm 'algos.nowhere:DQN'"),
        ("algos.value.dqn:DQM", "module 'algos.value.dqn' has no 'DQM'; did you mean 'DQN'?"),
        (":DQN", "':DQN' is not an algorithm; write \"package.module:Class\""),
        ("..dqn:DQN", "'..dqn:DQN' is not an algorithm; write \"package.module:Class\""),
    ],
)
def test_what_cannot_be_found(name, message):
    with pytest.raises(UserError) as error:
        get_algorithm(name)
    assert str(error.value).startswith(message)


def test_a_class_without_settings():
    with pytest.raises(UserError, match="needs an attribute Config, the dataclass of its settings"):
        get_config_class("algos.common.errors:UserError")


def test_the_names_need_no_torch():
    code = "import sys, algos.registry as r; r.get_config_class('SAC'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Hydra as this project sets it up: what it parses and composes, and its errors in plain words."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from algos.common.errors import UserError
from algos.policy_gradient.config import PPOConfig
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import (
    compose_config,
    explain,
    hydra_session,
    no_such_option,
    options,
    parse_overrides,
    register_algorithm,
    register_layer,
)


@pytest.fixture(scope="module")
def hydra() -> Iterator[Hydra]:
    with hydra_session() as session:
        yield session


def values(hydra: Hydra, *texts: str) -> list[Any]:
    return [override.value() for override in parse_overrides(hydra, texts)]


def test_overrides_are_parsed(hydra: Hydra) -> None:
    assert values(hydra, "seed=3", "lr=1e-3", "loggers=[a,b]", "tasks_dir=a/b=c") == [3, 1e-3, ["a", "b"], "a/b=c"]


def test_json_is_taken_as_it_is(hydra: Hydra) -> None:
    texts = ['wrappers=[{"type": "A", "x": [1, null, "it\'s"]}]', 'kwargs={"a": {"b": true}}']
    assert values(hydra, *texts) == [[{"type": "A", "x": [1, None, "it's"]}], {"a": {"b": True}}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=1", "'=1' is not of the form key=value"),
        ("lr", "'lr' is not of the form key=value"),
        ("my.yaml", "'my.yaml' is not of the form key=value; a file of settings is given as --yaml my.yaml"),
        ("seed=[1", "malformed override 'seed=[1': "),
        ("lr = 3", "malformed override 'lr = 3': write lr=3, without blanks around ="),
        (
            "学习率=3",
            "malformed override '学习率=3': '学习率' is not a key; a key is a word such as lr, or algo_cfg.lr",
        ),
        ("algo_cfg..lr=1", "malformed override 'algo_cfg..lr=1': 'algo_cfg..lr' is not a key"),
        ("algo_cfg[lr]=1", "malformed override 'algo_cfg[lr]=1': 'algo_cfg[lr]' is not a key"),
    ],
)
def test_malformed_overrides(hydra: Hydra, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_overrides(hydra, [text])
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_options_of_a_group_and_its_sub_groups(hydra: Hydra) -> None:
    assert {"DQN", "PPO"} <= set(options(hydra, "algo_cfg"))
    presets = options(hydra, "preset")
    assert "CartPole-v1/DQN" in presets and presets == sorted(presets)


def test_an_algorithm_and_a_layer_join_the_groups(hydra: Hydra) -> None:
    register_algorithm("PPO", "own.algos.PPO")
    layer = register_layer("yaml_file", "test_layer", {"algo_cfg": {"lr": 0.25}})
    assert layer == "hydra/yaml_file=test_layer" and "own.algos.PPO" in options(hydra, "algo_cfg")
    composed = compose_config(hydra, ["algo_cfg=own.algos.PPO", layer])
    assert (composed.general_cfg.algo_name, composed.algo_cfg.lr) == ("PPO", 0.25)
    assert set(composed.algo_cfg) == set(vars(PPOConfig()))


def test_what_a_session_stores_leaves_with_it(hydra: Hydra) -> None:
    with hydra_session() as inner:  # inside the other one
        register_algorithm("PPO", "only.here")
        assert "only.here" in options(inner, "algo_cfg")
    assert "only.here" not in options(hydra, "algo_cfg")
    assert values(hydra, "seed=3") == [3]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo_cfg=DQM"], "algo_cfg=DQM: no such option; did you mean 'DQN'? Known: "),
        (["algo_cfg.gama=1"], "algo_cfg.gama is not a key of DQNConfig; did you mean 'gamma'?"),
        (["other=1"], "other is not a key of Config; "),
        (["algo_cfg.gamma=high"], "algo_cfg.gamma: "),
    ],
)
def test_errors_of_composing(hydra: Hydra, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        compose_config(hydra, overrides)
    assert str(error.value).startswith(message)


def test_other_errors_in_a_line() -> None:
    try:
        yaml.safe_load("a: [1")
    except yaml.YAMLError as error:
        assert explain(error).startswith("<unicode string>:1:6: not valid YAML: ")
    assert explain(ValueError("two\n  lines")) == "two lines"
    assert no_such_option("preset", "x", ["DQN"]) == "preset=x: no such option; known: DQN"


@pytest.mark.parametrize(
    "text",
    [
        "任务",
        "我的 任务",
        "任务（一）",
        "é/ü",
        "runs (1)",
        "~/runs",
        "a&b;c",
        "a%b@c#d",
        "x:y (2)",
        "tasks/Sweep/1_seed=2",
    ],
)
def test_a_text_needs_no_quotes(hydra: Hydra, text: str) -> None:
    assert values(hydra, f"tasks_dir={text}") == [text]


def test_lists_and_sweeps_of_other_letters_need_none_either(hydra: Hydra) -> None:
    assert values(hydra, "callbacks=[任务,b,é]") == [["任务", "b", "é"]]
    (sweep,) = parse_overrides(hydra, ["id=任务,CartPole-v1"])
    assert list(sweep.sweep_string_iterator()) == ["'任务'", "CartPole-v1"]


@pytest.mark.parametrize("text", ["it's", "[64,64", "rang(1,2)", '"a', "{a", "(1),(2)"])
def test_what_may_be_meant_otherwise_is_refused(hydra: Hydra, text: str) -> None:
    with pytest.raises(UserError, match=r"^malformed override"):
        parse_overrides(hydra, [f"tasks_dir={text}"])

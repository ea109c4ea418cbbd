"""Overrides: sorted, written out in full, made of Python values."""

import pytest
from config_files import write

from algos.common.errors import UserError
from algos.value.config import DQNConfig
from framework.settings.compose import compose
from framework.settings.hydra_session import hydra_session, parse_overrides
from framework.settings.keys import sections_with
from framework.settings.overrides import Overrides, sort_overrides, to_override, write_out


def sorted_of(*texts: str) -> Overrides:
    with hydra_session() as hydra:
        return sort_overrides(parse_overrides(hydra, texts))


def test_they_are_sorted_by_what_they_do() -> None:
    found = sorted_of("algo_name=PPO", "preset=CartPole-v1/DQN", "lr=1", "hydra/launcher=joblib", "kwargs={a: 1}")
    assert found.choices == {"algo_cfg": "PPO", "preset": "CartPole-v1/DQN"} and found.hydra == [
        "hydra/launcher=joblib"
    ]
    assert [override.key_or_group for override in found.settings] == ["lr", "kwargs"]
    assert sorted_of("algo_name=PPO", "algo_cfg=PPO", "preset/CartPole-v1=DQN", "preset=CartPole-v1/DQN").choices == {
        "algo_cfg": "PPO", "preset": "CartPole-v1/DQN"
    }  # fmt: skip
    assert sorted_of("preset=null").choices == sorted_of("~preset").choices == {"preset": "null"}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["seed=1,2"], "seed=1,2 has several values; add -m to sweep over them"),
        (["algo_name=PPO", "algo_cfg=DQN"], "algo_cfg is chosen twice: PPO and DQN"),
        (["algo_cfg="], "algo_cfg=: algo_cfg needs the name of one option"),
        (["algo_cfg@env_cfg=DQN"], "'@env_cfg' is not supported here"),
        (["algo_cfg/lr=1"], "algo_cfg/lr=1: a key is written with a dot; did you mean algo_cfg.lr=1?"),
    ],
)
def test_what_cannot_be_sorted(texts: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        sorted_of(*texts)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-3", "algo_cfg.lr=1e-3"),
        ("general_cfg.seed=2", "general_cfg.seed=2"),
        ("kwargs.gravity=9", "++env_cfg.kwargs.gravity=9"),
        ("kwargs={a: 1}", "++env_cfg.kwargs={a: 1}"),
        ("~kwargs.a", "~env_cfg.kwargs.a"),
        ("max_env_step=null", "general_cfg.max_env_step=null"),
        ("buffer_size=1e5", "algo_cfg.buffer_size=100000"),
        ("tasks_dir=true", "general_cfg.tasks_dir='true'"),
    ],
)
def test_written_out_in_full(text: str, expected: str) -> None:
    (override,) = sorted_of(text).settings
    assert write_out(override, sections_with(DQNConfig), "DQN") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algo_cfg={lr: 1}", "write the keys of algo_cfg one by one"),
        ("~lr", "~algo_cfg.lr: a setting cannot be deleted"),
        ("seed=x", "general_cfg.seed=x is of the wrong type: expected an integer"),
    ],
)
def test_what_cannot_be_written_out(text: str, message: str) -> None:
    (override,) = sorted_of(text).settings
    with pytest.raises(UserError, match=message):
        write_out(override, sections_with(DQNConfig), "DQN")


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        ("lr=1e-3", "algo_cfg", "lr", 1e-3),
        ("+lr=1e-3", "algo_cfg", "lr", 1e-3),
        ("++algo_cfg.lr=1e-3", "algo_cfg", "lr", 1e-3),
        ("lr=lin_1e-3", "algo_cfg", "lr", "lin_1e-3"),
        ("render_mode=rgb_array", "env_cfg", "render_mode", "rgb_array"),
        ("kwargs.gravity=9", "env_cfg", "kwargs", {"gravity": 9}),
        ("kwargs={gravity: 9}", "env_cfg", "kwargs", {"gravity": 9}),
        ("env_cfg.kwargs.a.b=[1,2]", "env_cfg", "kwargs", {"a": {"b": [1, 2]}}),
        ("wrappers=[FlattenObservation]", "env_cfg", "wrappers", ["FlattenObservation"]),
        ("value_layers=[{layer_type: none}]", "algo_cfg", "value_layers", [{"layer_type": "none"}]),
        ("max_env_step=null", "general_cfg", "max_env_step", None),
        ("load_model_step=500", "general_cfg", "load_model_step", "500"),
        ("seed=${general_cfg.n_envs}", "general_cfg", "seed", 1),
        ("tasks_dir=a/0_seed=1", "general_cfg", "tasks_dir", "a/0_seed=1"),
    ],
)
def test_short_keys(words: str, section: str, key: str, value: object) -> None:
    assert getattr(getattr(compose([words]), section), key) == value


def test_a_key_inside_a_mapping_can_be_deleted() -> None:
    file = write("f.yaml", "env_cfg: {kwargs: {a: 1, b: 2}}")
    assert compose(["~kwargs.a"], file).env_cfg.kwargs == {"b": 2}


def test_an_element_of_a_list_can_be_changed() -> None:
    layers = compose(["value_layers.0.layer_size=[64]"]).algo_cfg.value_layers
    assert [layer["layer_size"] for layer in layers] == [[64], [256]]


def test_python_values_become_overrides() -> None:
    layers = [{"layer_type": "linear", "layer_size": [8], "activation": "relu"}]
    values = {
        "value_layers": layers,
        "tasks_dir": "it's \\'a\\', b",
        "max_env_step": None,
        "online_eval": False,
        "lr": 1e-4,
    }
    config = compose([to_override(key, value) for key, value in values.items()])
    general = config.general_cfg
    assert config.algo_cfg.value_layers == layers and config.algo_cfg.lr == 1e-4
    assert (general.tasks_dir, general.max_env_step, general.online_eval) == (values["tasks_dir"], None, False)
    with pytest.raises(UserError, match="callbacks"):
        to_override("callbacks", [object()])


def test_a_class_stands_in_a_config_as_its_path():
    assert to_override("actor_class", Overrides) == "actor_class='framework.settings.overrides:Overrides'"
    with pytest.raises(UserError, match="q_class takes a class or its dotted path, not an object of type int"):
        to_override("q_class", 3)
    assert to_override("q_class", None) == "q_class=null" and to_override("q_class", "a:B") == "q_class='a:B'"

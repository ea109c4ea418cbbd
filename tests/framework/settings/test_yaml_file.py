"""A YAML file of settings, and the lines that its errors name."""

from pathlib import Path

import pytest
import yaml

from algos.common.errors import Mistakes, UserError
from algos.policy_gradient.config import PPOConfig
from algos.value.config import DQNConfig
from framework.settings.keys import sections_with
from framework.settings.yaml_file import LOADER, YamlFile, yaml_problem

SECTIONS = sections_with(DQNConfig)


def file_of(folder: Path, text: str) -> YamlFile:
    (folder / "f.yaml").write_text(text, encoding="utf-8")
    return YamlFile(folder / "f.yaml")


def test_sections(tmp_path: Path) -> None:
    file = file_of(tmp_path, "\ufeffalgo_cfg: {lr: 1e-3}\nenv_cfg:\nexpected: 5\n")
    assert file.section("algo_cfg") == {"lr": 1e-3}  # a number, which YAML 1.1 takes for text
    assert file.section("env_cfg") == file.section("expected") == file.section("general_cfg") == {}
    assert file_of(tmp_path, "").data == {}
    assert yaml.load("1e-3", Loader=LOADER) == 1e-3


def test_a_good_file_passes(tmp_path: Path) -> None:
    text = "general_cfg: {seed: 3}\nalgo_cfg:\n  value_layers:\n    - {layer_type: linear}\nenv_cfg: {kwargs: {a: 1}}\n"
    file_of(tmp_path, text).check(SECTIONS, "DQN")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("- 1\n", ":1", "must be a mapping with sections such as general_cfg"),
        ("general_cfg:\n  seed: 1\n bad: 2\n", ":3:2", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", ":2:1", "not valid YAML"),
        ("algo_cfg:\n  lr: 1\n  lr: 2\n", ":3", "key 'algo_cfg.lr' is repeated; it first appears in line 2"),
        ("general_cfg: !!python/object/apply:os.getcwd []\n", ":1:14", "not valid YAML"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str, place: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        file_of(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'f.yaml'}{place}: {message}")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("general_cfg:\n  seed: 1\n  sede: 1\n", 3, "unknown key 'general_cfg.sede'"),
        ("algo_cfg:\n\n  gamma: high\n", 3, "algo_cfg.gamma=high is of the wrong type: expected a number"),
        ("algo_cfg: 5\n", 1, "algo_cfg=5 is of the wrong type: expected a mapping"),
        ("a: &a {sede: 1}\ngeneral_cfg:\n  <<: *a\n", 1, "unknown section 'a'"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, line: int, message: str) -> None:
    file = file_of(tmp_path, text)
    with pytest.raises(UserError) as error:
        file.check(SECTIONS, "DQN")
    assert str(error.value).startswith(f"{tmp_path / 'f.yaml'}:{line}: {message}")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        "general_cfg:\n  total_timesteps: 5\n  seed: x\n"
        "algo_cfg:\n  policy_kwargs:\n    net_arch: [64]\n    colour: 1\nenv_cfg:\n  env_kwargs: {seed: 1}\n",
    )
    with pytest.raises(UserError) as error:
        file.check(sections_with(PPOConfig), "PPO")
    lines = [line.removeprefix(f"{file.path}:") for line in str(error.value).splitlines()]
    assert [line.partition(":")[0] for line in lines] == ["2", "3", "5", "6", "9"]
    assert "here it is general_cfg.max_env_step" in lines[0] and "algo_cfg.actor_layers" in lines[3]
    assert lines[4].endswith("here it is env_cfg.kwargs")  # whose own keys are nobody's


def test_values_get_the_types_that_the_schema_wants(tmp_path: Path) -> None:
    file = file_of(
        tmp_path, "general_cfg: {max_env_step: 1e5, n_envs: 2.0, progress: off, tasks_dir: no}\nalgo_cfg: {gama: 1}\n"
    )
    mistakes = Mistakes()
    assert file.fitted(SECTIONS, "DQN", mistakes, only=["general_cfg"]) == {
        "general_cfg": {"max_env_step": 100_000, "n_envs": 2, "progress": "off", "tasks_dir": "no"}
    }
    assert not mistakes
    assert file.fitted(SECTIONS, "DQN", mistakes)["algo_cfg"] == {} and len(mistakes.texts) == 1


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: café".encode("latin-1"))
    for path, message in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "is a folder"),
                          (tmp_path / "latin.yaml", r"is not UTF-8 text \(byte 6\)")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            YamlFile(path)
    assert yaml_problem(yaml.YAMLError("odd\nthing")) == ": not valid YAML: odd thing"


@pytest.mark.parametrize("join", ["[*{0}, *{0}]", "{{x: *{0}, y: *{0}}}", "{{<<: [*{0}, *{0}]}}"])
def test_aliases_of_aliases_are_refused(tmp_path: Path, join: str) -> None:
    lines = ["a0: &a0 {z: 1}", *(f"a{n}: &a{n} {join.format(f'a{n - 1}')}" for n in range(1, 40))]
    with pytest.raises(UserError, match="its aliases"):
        file_of(tmp_path, "\n".join(lines))


def test_what_is_nested_too_deeply_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nested too deeply"):
        file_of(tmp_path, "a: " + "[" * 5000 + "]" * 5000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("general_cfg: {seed: '???'}", "general_cfg.seed=??? is not a value"),
        ("env_cfg: {kwargs: {a: [1, '???']}}", "env_cfg.kwargs=??? is not a value"),
        ("general_cfg: {seed: 010}", "general_cfg.seed=010: YAML reads that as 8"),
        ("env_cfg: {kwargs: {a: {b: [010]}}}", "env_cfg.kwargs.a.b.0=010: YAML reads that as 8"),
        (
            "algo_cfg: {value_layers: [{layer_type: linear, layer_size: 1:30}]}",
            "layer_size=1:30: YAML reads that as 90",
        ),
        ("env_cfg: {kwargs: {a: " + "[" * 200 + "]" * 200 + "}}", "env_cfg.kwargs: its lists and mappings are nested"),
        ("preset: CartPole-v1/PPO", "choose a preset on the command line: preset=<env>/<ALGO>"),
    ],
)
def test_values_that_are_not_what_is_written(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        file_of(tmp_path, text).check(SECTIONS, "DQN")
    assert message in str(error.value) and f"{tmp_path / 'f.yaml'}:1: " in str(error.value)


@pytest.mark.parametrize("text", ["general_cfg: {seed: " + "9" * 5000 + "}", "a: " + "[" * 1500 + "]" * 1500])
def test_endless_numbers_and_lists(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"not a value that can be read|nested too deeply"):
        file_of(tmp_path, text)
    assert file_of(tmp_path, "general_cfg: {tasks_dir: no}").fitted(SECTIONS, "DQN", Mistakes()) == {
        "general_cfg": {"tasks_dir": "no"}
    }

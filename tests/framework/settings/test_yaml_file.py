"""A YAML file of settings, and the lines that its errors name."""

from pathlib import Path

import pytest
import yaml

from algos.common.errors import UserError
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
        ("algo_cfg:\n  lr: 1\n  lr: 2\n", ":3", "key 'algo_cfg.lr' stands here a second time, first in line 2"),
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
        ("a: &a {sede: 1}\ngeneral_cfg:\n  <<: *a\n", 1, "unknown key 'a'"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, line: int, message: str) -> None:
    file = file_of(tmp_path, text)
    with pytest.raises(UserError) as error:
        file.check(SECTIONS, "DQN")
    assert str(error.value).startswith(f"{tmp_path / 'f.yaml'}:{line}: {message}")


def test_some_sections_alone_can_be_checked(tmp_path: Path) -> None:
    file = file_of(tmp_path, "general_cfg: {seed: 1}\nalgo_cfg: {of_another: 1}\n")
    file.check(SECTIONS, "DQN", only=("general_cfg", "env_cfg"))
    with pytest.raises(UserError, match="of_another"):
        file.check(SECTIONS, "DQN")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: café".encode("latin-1"))
    for path, message in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "is a folder"),
                          (tmp_path / "latin.yaml", r"is not UTF-8 text \(byte 6\)")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            YamlFile(path)
    assert yaml_problem(yaml.YAMLError("odd\nthing")) == ": not valid YAML: odd thing"

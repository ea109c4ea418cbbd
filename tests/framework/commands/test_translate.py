"""mode=translate prints a file of JoyRL's in this project's words; a run of it begins with a table, on stderr."""

from pathlib import Path

import pytest
import yaml

from framework.cli import main
from framework.settings.compose import compose

THEIRS = """\
general_cfg:
  algo_name: FirstVisitMC
  env_name: CliffWalking-v0
  train_eps: 2
  max_steps: 20
algo_cfg:
  epsilon: 0.15
  lr: 0.1
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    (tmp_path / "theirs.yaml").write_text(THEIRS, encoding="utf-8")
    return tmp_path / "theirs.yaml"


def test_stdout_is_a_file_of_settings_with_comments(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--yaml", "theirs.yaml", "mode=translate"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and [path.name for path in tmp_path.iterdir()] == ["theirs.yaml"]  # no run folder
    assert yaml.safe_load(out)["general_cfg"] == {
        "algo_name": "MonteCarlo", "mode": "train", "max_step": 20, "max_episode": 2,
    }  # fmt: skip
    lines = out.splitlines()
    assert "  max_step: 20 # was max_steps: 20" in lines
    assert "  gamma: 0.9 # JoyRL's default" in lines
    assert "#   lr: 0.1: values are means of returns" in lines
    (tmp_path / "ours.yaml").write_text(out, encoding="utf-8")
    assert compose(yaml_file="ours.yaml").settings() == compose(yaml_file=theirs).settings()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mode=translate"], "general_cfg.mode=translate needs --yaml <JoyRL settings file>"),
        (["--yaml", "theirs.yaml", "mode=translate", "lr=1"], "leave out lr=1"),
        (["--yaml", "ours.yaml", "mode=translate"], "ours.yaml: nothing to translate: it has no keys of JoyRL's"),
        (["--yaml", "not.yaml", "general_cfg.mode=translate"], "not.yaml: no such file"),
        (["--yaml", "mode.yaml"], "general_cfg.mode=translate works only on the command line"),
    ],
)
def test_mistakes(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(theirs.parent)
    Path("ours.yaml").write_text("algo_cfg: {lr: 1e-3}\n", encoding="utf-8")
    Path("mode.yaml").write_text("general_cfg: {mode: translate}\n", encoding="utf-8")
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err


def test_a_run_begins_with_the_table(theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"tasks_dir={tmp_path / 'tasks'}", "loggers=[]", "save_fig=false", "progress=off"]
    assert main(["--yaml", str(theirs), *words]) == 0
    err = capsys.readouterr().err
    assert err.count("max_steps: 20") == 1 and "translated as follows" in err
    assert err.index("max_steps: 20") < err.index("ended:")
    for text in (
        "CliffWalking-v1",
        "the old version no longer exists",
        "algo_cfg.epsilon_start: 0.15",
        "JoyRL's defaults",
    ):
        assert text in err


def test_what_is_missing_is_one_answer(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs.write_text(THEIRS.replace("FirstVisitMC", "GAIL").replace("CliffWalking-v0", "theAlley"), encoding="utf-8")
    assert main(["--yaml", str(theirs)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 3
    assert f"{theirs}:2: algorithm GAIL" in err and f"{theirs}:3: environment theAlley" in err


def test_cfg_shows_the_settings_alone(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--yaml", str(theirs), "--cfg", "job"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and yaml.safe_load(out)["env_cfg"]["id"] == "CliffWalking-v1"

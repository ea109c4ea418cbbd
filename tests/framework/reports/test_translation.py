"""The table of what a file of JoyRL's means here."""

from pathlib import Path

import pytest

from framework.experiment import Experiment
from framework.reports.translation import tell
from framework.settings.joyrl.draft import Row
from framework.settings.joyrl.translate import Translation
from framework.settings.yaml_file import YamlFile


def test_rows_are_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("general_cfg:\n", encoding="utf-8")
    rows = [Row(7, "k_epochs: 4", "algo_cfg.n_epochs: 4"), Row(0, "", "algo_cfg.clip: 0.2", "[why] not")]
    tell(Translation(YamlFile(tmp_path / "a.yaml"), 2023, rows, {}))
    out, err = capsys.readouterr()
    assert out == "" and "a JoyRL settings file of 2023" in err and "mode=translate" in err
    assert all(word in err for word in ("7", "k_epochs: 4", "algo_cfg.n_epochs: 4", "algo_cfg.clip: 0.2", "[why] not"))


def test_from_yaml_tells_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("general_cfg: {algo_name: VI, env_name: FrozenLake-v1, train_eps: 3}\n", encoding="utf-8")
    experiment = Experiment.from_yaml(path, ["max_step=7"])
    assert (experiment.general.algo_name, experiment.general.max_step) == ("ValueIteration", 7)
    assert "train_eps: 3" in capsys.readouterr().err

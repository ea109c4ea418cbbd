"""What is told of a verification's seeds, without any having run."""

import json

import pytest

from framework.commands.sweep_status import FAILED, Status
from framework.commands.verdict import Result
from framework.commands.verify_report import report
from framework.settings.schema import ExpectedScore

EXPECTED = ExpectedScore(500.0, 0.0)


@pytest.fixture
def folder(tmp_path):
    """A verification of which seeds 1 and 3 are done, by different commits."""
    (tmp_path / "verify.json").write_text(
        json.dumps({"preset": "A/DQN", "settings": {}, "commits": ["abc1234", "def"]})
    )
    for seed, rewards, seconds in ((1, [490.0, 500.0], 40.4), (3, [500.0, 500.0], 20.4)):
        score = {"model": "best.pt", "rewards": rewards, "env_step": 50_000 + seed, "wall_time": seconds}
        (tmp_path / f"seed_{seed}" / "results").mkdir(parents=True)
        (tmp_path / f"seed_{seed}" / "results" / "score.json").write_text(json.dumps(score))
    return tmp_path


def cells(text, seed):
    (line,) = [line for line in text.split("\n") if line.lstrip("│ ").startswith(f"{seed} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_seeds_that_are_missing_are_told_and_there_is_no_verdict(folder, capsys):
    assert report(folder, "A/DQN", EXPECTED, range(1, 5), {2: Status(FAILED)}, []) is None
    out = capsys.readouterr().out
    assert cells(out, 1) == ["1", "495.0", "5.00", "", "50,001", "40", "best.pt", "done"]
    assert cells(out, 2)[-1] == "failed" and cells(out, 4)[-1] == "not started"
    assert "no verdict: 2 of 4 seeds are done, 1 failed" in out and Result.read(folder) is None


@pytest.mark.parametrize(("expected", "code"), [(EXPECTED, 0), (ExpectedScore(600.0, 0.0), 1)])
def test_the_result_is_of_all_seeds(folder, capsys, expected, code):
    assert report(folder, "A/DQN", expected, [1, 3], {}, []) == code
    assert f"A/DQN {'does not pass' if code else 'passes'}: 497.5" in capsys.readouterr().out
    result = Result.read(folder)
    assert (result.scores, result.env_steps, result.verdict.mean) == ([495.0, 500.0], 50_002, 497.5)
    assert result.seconds == pytest.approx(30.4) and result.commit == "abc1234, def"


def test_other_settings_than_the_presets_are_named(folder, capsys):
    report(folder, "A/DQN", EXPECTED, [1, 3], {}, ["algo_cfg.lr=1"])
    assert (
        "not for docs/results.md, as these are not the preset's own settings: algo_cfg.lr=1" in capsys.readouterr().out
    )

"""Run folders of older code load, are tested, and resume to the weights and tables that the old code would have left.

`tests/fixtures/runs/` holds interrupted runs made at commit ffcfea7, `tests/fixtures/resumed/` what that commit itself
left when it resumed them to the end. Do not regenerate them: they are of use because they are old.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from framework import Experiment
from framework.cli import main
from framework.runs.models import read_model

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
RUNS = ("dqn", "ppo", "sac", "q_learning")
CLOSE = 1e-5  # kernels of another CPU sum in another order: the last digits are its own
RENAMED = {"train/value_loss": "train/td_loss"}  # of Q networks; a resumed run goes on under the new name


@pytest.fixture
def run(request, tmp_path, monkeypatch):
    """A copy of an old run, tasks/<name> of the present folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(FIXTURES / "runs" / request.param, tmp_path / "tasks" / request.param))


def made_with(name):
    """What made the fixture, and the rewards of three test episodes with its best model."""
    return json.loads((FIXTURES / "resumed" / name / "made_with.json").read_text())


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, restkey="too many"))


@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_is_loaded_and_evaluated(run):
    best = Experiment.load(run.name)
    assert best.model_name.endswith("best.pt")
    rewards = made_with(run.name)["rewards"]
    np.testing.assert_allclose(best.evaluate().rewards, rewards, rtol=CLOSE)
    first = min(int(path.stem) for path in run.glob("models/[0-9]*.pt"))
    assert Experiment.load(run, [f"load_model_step={first}"]).counters["update_step"] == first


@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_is_tested_from_the_command_line(run):
    assert main(["mode=test", f"load_path={run.name}", "loggers=[]"]) == 0
    rewards = [float(row["reward"]) for row in table(Path("tasks/latest/results/test.csv"))]
    np.testing.assert_allclose(rewards, made_with(run.name)["rewards"], rtol=CLOSE)


@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_goes_on_to_the_end_that_it_would_have_had(run):
    assert main([f"resume={run.name}"]) == 0
    (expected,) = (FIXTURES / "resumed" / run.name).glob("*.pt")
    last = max(run.glob("models/[0-9]*.pt"), key=lambda path: int(path.stem))
    assert last.name == expected.name
    model, whole = read_model(last), read_model(expected)
    algorithm = Experiment.load(last).algorithm  # which puts what the old code saved into the form of today
    algorithm.load_state_dict(whole.pop("algorithm"))
    torch.testing.assert_close(model.pop("algorithm"), algorithm.state_dict(), rtol=CLOSE, atol=CLOSE)
    assert model == whole  # the counters, and what it was trained on
    for name in ("episodes.csv", "updates.csv", "eval.csv"):
        assert_continues(table(run / "results" / name), table(expected.with_name(name)))


def assert_continues(rows, expected):
    """Every cell that the old code would have written is there, under its name or the one that it has now."""
    assert len(rows) == len(expected) > 1
    for row, old in zip(rows, expected, strict=True):
        assert None not in row.values() and "too many" not in row
        for name, cell in old.items():
            if name == "wall_time":
                continue
            found = row[name] or row.get(RENAMED.get(name, ""), "")
            np.testing.assert_allclose(float(found), float(cell), rtol=CLOSE, atol=CLOSE, err_msg=name)

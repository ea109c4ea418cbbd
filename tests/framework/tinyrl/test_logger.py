"""The logger: what it writes can be read again, its statistics are right, wrong use is told."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from algos.common.errors import UserError
from framework.tinyrl.logger import Logger


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_statistics():
    values = np.random.default_rng(1).normal(5, 3, 200)
    logger = Logger("unused", loggers=[])
    for step, value in enumerate(values):
        logger.log({"reward": value}, step=step)
    stats = logger.get_stats("reward")
    assert list(stats) == ["mean", "std", "min", "max", "last", "count"]
    expected = [values.mean(), values.std(), values.min(), values.max(), values[-1], 200]
    np.testing.assert_allclose(list(stats.values()), expected)
    logger.log({"loss": torch.tensor(2.0)}, 0)
    assert logger.get_stats("loss") == {"mean": 2, "std": 0, "min": 2, "max": 2, "last": 2, "count": 1}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_files_are_read_again(tmp_path):
    logger = Logger(tmp_path / "a" / "logs")
    logger.log({"reward": 100, "train/loss": np.float32(0.5)}, step=1000)
    logger.log({"reward": True, "entropy": np.array([0.25])}, 2000)
    logger.save_config({"lr": 1e-3, "layers": [1, 2], "kind": Logger, "名": "值"})
    logger.close()
    logger.close()
    assert rows(logger.folder) == [
        {"step": "1000", "reward": "100.0", "train/loss": "0.5", "entropy": ""},
        {"step": "2000", "reward": "1.0", "train/loss": "", "entropy": "0.25"},
    ]
    config = json.loads((logger.folder / "config.json").read_text("utf-8"))
    assert config == {"lr": 1e-3, "layers": [1, 2], "kind": str(Logger), "名": "值"}
    events = EventAccumulator(str(logger.folder / "tb_logs"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(1000, 100.0), (2000, 1.0)]
    assert events.Scalars("train/loss")[0].value == 0.5


def test_a_folder_is_gone_on_with(tmp_path):
    for step, metrics in ((1, {"reward": 1.0}), (2, {"loss": 2.0}), (3, {"reward": math.nan})):
        logger = Logger(tmp_path, loggers=[])
        logger.log(metrics, step)
        logger.close()
    assert [tuple(row.values()) for row in rows(tmp_path)] == [("1", "1.0", ""), ("2", "", "2.0"), ("3", "nan", "")]


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = Logger(tmp_path, loggers=["tensorboard", "wandb"])
    logger.log({"reward": 3.0}, 5)
    logger.save_config({"lr": 1e-3})
    run = logger.loggers[1].run
    assert run.config["lr"] == 1e-3 and run.summary["reward"] == 3.0
    logger.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb")) and rows(tmp_path)[0]["reward"] == "3.0"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda logger: logger.get_stats("rewrd"), "nothing was logged as 'rewrd'; did you mean 'reward'"),
        (lambda logger: logger.log({"reward": "much"}, 1), "reward is a str, not one number"),
        (lambda logger: logger.log({"reward": [1, 2]}, 1), "reward is a list"),
        (lambda logger: logger.log({"reward": torch.zeros(2)}, 1), "reward is a Tensor"),
        (lambda logger: logger.log({"step": 3}, 1), "'step' is the column"),
        (lambda logger: [logger.close(), logger.log({"reward": 1}, 1)], "is closed"),
        (lambda logger: [logger.close(), logger.save_config({})], "is closed"),
        (lambda logger: Logger("x", loggers=["mlflow"]), "unknown logger 'mlflow'"),
        (lambda logger: Logger("logs/metrics.csv/x"), "cannot write"),
    ],
)
def test_wrong_use_is_told(wrong, told):
    logger = Logger("logs", loggers=[])
    logger.log({"reward": 1.0}, 0)
    with pytest.raises(UserError, match=told):
        wrong(logger)

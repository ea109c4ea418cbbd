import numpy as np
import pytest

from framework import Experiment
from framework.reports.tables import read_csv


def train(tmp_path, **settings):
    tiny = {
        "max_env_step": 80,
        "n_steps": 5,
        "batch_size": 10,
        "n_epochs": 1,
        "progress": "off",
        "save_fig": False,
        "online_eval": False,
    }
    experiment = Experiment(
        "PPO", entry_point="told_env:Told", n_envs=2, max_step=4, log_interval=1,
        tasks_dir=tmp_path, **{"env_cfg__kwargs": {"length": 7, "first": 0.5}}, **tiny | settings,
    )  # fmt: skip
    experiment.train()
    return experiment.folder


def cells(folder):
    table = read_csv(folder.results / "episodes.csv")
    return {name: list(column) for name, column in table.items() if name != "wall_time"}


def test_components_sum_to_the_reward_across_rollouts(tmp_path):
    table = cells(train(tmp_path))
    assert len(table["reward"]) == 20  # of 4 steps, in rollouts of 5
    parts = np.array([table["reward_components/walk"], table["reward_components/bonus"]], dtype=float).sum(0)
    np.testing.assert_allclose(parts, np.array(table["reward"], dtype=float), atol=1e-5)
    assert {float(value) for value in table["success"]} == {1.0}


def test_a_resumed_run_has_the_same_components(tmp_path):
    whole = cells(train(tmp_path / "a"))
    part = train(tmp_path / "b", max_env_step=30)
    assert cells(part)["reward"] != whole["reward"]
    assert cells(train(tmp_path / "b", resume=str(part.path))) == whole


@pytest.mark.parametrize("wanted", [True, False])
def test_components_can_be_left_out(tmp_path, wanted):
    table = cells(train(tmp_path, log_reward_components=wanted))
    assert ("reward_components/walk" in table) is wanted and "success" in table

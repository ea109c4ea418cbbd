"""figs/policy.png: where there is a table and a grid, and nowhere else."""

import numpy as np
import pytest
from framework_fakes import DQN
from PIL import Image

from envs.config import EnvConfig
from envs.grid import grid_of
from envs.make import make_env
from framework.experiment import Experiment
from framework.reports.grid_plot import cell_values, draw_policy, plot_policy, plot_tables
from framework.runs.run_folder import RunFolder


def grid(env_id, **kwargs):
    return grid_of(make_env(EnvConfig(id=env_id, kwargs=kwargs)))


def arrows(figure):
    """(row, column) -> the set of (down, right) signs of the arrows drawn there."""
    found = {}
    for text in figure.axes[0].texts:
        if getattr(text, "arrow_patch", None) is not None:
            (column, row), (to_column, to_row) = text.xyann, text.xy
            sign = (int(np.sign(round(to_row - row, 6))), int(np.sign(round(to_column - column, 6))))
            found.setdefault((round(row), round(column)), set()).add(sign)
    return found


def test_all_of_the_best_moves_are_drawn_and_no_others():
    q_value = np.zeros((12, 4))
    q_value[8] = [0.5, 0.5 - 1e-9, 0.2, 0.1]  # the start: up and, but for rounding, right
    q_value[10] = [0, 0, 0, -1]
    figure = draw_policy(q_value, grid("joyride/SimpleGrid-v0"), "a title")
    found = arrows(figure)
    assert found[2, 0] == {(-1, 0), (0, 1)} and found[2, 2] == {(-1, 0), (0, 1), (1, 0)}
    assert not {(1, 1), (0, 3), (1, 3)} & set(found)  # a wall and two ends
    assert "0.5" in [text.get_text() for text in figure.axes[0].texts]


def test_a_cell_of_many_states_shows_the_best_that_is_known():
    track = grid("joyride/Racetrack-v0", track="small")
    q_value = np.zeros((7, 8, 5, 5, 9))
    q_value[5, 1, 1, 0], q_value[5, 1, 2, 0] = -4, -3
    value = cell_values(q_value.reshape(-1, 9), track)
    assert value[5, 1] == -3 and np.isnan(value).sum() == 7 * 8 - 1
    assert not arrows(draw_policy(q_value.reshape(-1, 9), track))


@pytest.mark.parametrize(
    ("algo", "env_id", "drawn"),
    [
        ("ValueIteration", "FrozenLake-v1", True),
        ("QLearning", "Taxi-v4", False),
    ],
)
def test_a_run_in_a_grid_world_leaves_its_picture(tmp_path, algo, env_id, drawn):
    experiment = Experiment(
        algo=algo, env=env_id, max_env_step=50, max_step=50, online_eval_episode=1, loggers=[], progress="off",
        tasks_dir=str(tmp_path),
    )  # fmt: skip
    experiment.train()
    picture = experiment.folder.path / "figs" / "policy.png"
    assert picture.exists() == drawn
    if drawn:
        with Image.open(picture) as image:
            assert min(image.size) > 300


def test_a_table_of_other_states_than_the_grid_is_not_drawn(tmp_path):
    world = grid("CliffWalking-v1")
    assert plot_policy(RunFolder(tmp_path), np.zeros((47, 4)), world) is None and not list(tmp_path.iterdir())
    assert plot_policy(RunFolder(tmp_path), np.zeros((48, 4)), world) == tmp_path / "figs" / "policy.png"


def test_a_policy_without_tables_costs_no_environment(tmp_path):
    policy = Experiment(**DQN).algorithm.policy
    plot_tables(RunFolder(tmp_path / "run"), policy, lambda first: pytest.fail("an environment was made"))
    assert not (tmp_path / "run").exists()

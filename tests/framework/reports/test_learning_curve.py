import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from framework.reports import learning_curve as plots
from framework.reports.learning_curve import plot_learning_curve
from framework.reports.tables import read_csv
from framework.reports.titles import title_of
from framework.runs.run_folder import RunFolder

EPISODES = "episode,env_step,update_step,wall_time,reward,length\n"
EVAL = "update_step,env_step,wall_time,episodes,mean_reward,std_reward,min_reward,max_reward\n"


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "train", "CartPole-v1", "DQN")


def fill(folder, episodes=0, evaluations=0):
    rng = np.random.default_rng(0)
    rows, step = [], 0
    for n in range(episodes):
        reward = 500 / (1 + math.exp(-(n - episodes / 2) / (episodes / 12))) * rng.uniform(0.4, 1.0) + 10
        step += int(reward)
        rows.append(f"{n},{step},{step // 4},{step / 900},{reward},{int(reward)}\n")
    (folder.results / "episodes.csv").write_text(EPISODES + "".join(rows))
    rows = []
    for n in range(evaluations):
        mean = 500 * (1 - math.exp(-3 * n / evaluations)) * (0.85 if n % 4 == 3 else 1)
        at = int((n + 1) * max(step, 1000) / evaluations)
        rows.append(f"{at // 4},{at},{at / 900},10,{mean},{40 * (1 - n / evaluations)},0,500\n")
    (folder.results / "eval.csv").write_text(EVAL + "".join(rows))


def size(path):
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image.size


def test_nothing_to_draw(folder):
    assert plot_learning_curve(folder) is None
    fill(folder)
    assert plot_learning_curve(folder) is None
    assert not (folder.path / "figs").exists()


@pytest.mark.parametrize(("episodes", "evaluations"), [(1, 0), (0, 1), (1, 1), (300, 0), (0, 20), (300, 20)])
def test_a_learning_curve_is_drawn(folder, episodes, evaluations):
    fill(folder, episodes, evaluations)
    path = plot_learning_curve(folder)
    assert path == folder.path / "figs" / "learning_curve.png"
    assert size(path) == (1200, 675)
    assert [item.name for item in path.parent.iterdir()] == ["learning_curve.png"]


def test_what_is_drawn_is_what_the_files_hold(folder, monkeypatch):
    fill(folder, 300, 20)
    drawn = {}
    monkeypatch.setattr(
        plots, "dress", lambda figure, axes, title, note, unit: drawn.update(axes=axes, title=title, note=note)
    )
    plot_learning_curve(folder)
    lines = {line.get_label(): line for line in drawn["axes"].lines}
    evaluations = read_csv(folder.results / "eval.csv")
    line = lines["evaluation, mean ± std"]
    assert line.get_xdata().tolist() == evaluations["env_step"]
    assert line.get_ydata().tolist() == evaluations["mean_reward"]
    best = max(evaluations["mean_reward"])
    assert lines[f"best evaluation: {best:.4g}"].get_ydata().tolist() == [best]
    episodes = read_csv(folder.results / "episodes.csv")
    assert drawn["axes"].collections[0].get_offsets()[:, 1].tolist() == episodes["reward"]
    assert lines["mean of 30 episodes"].get_ydata()[-1] == pytest.approx(np.mean(episodes["reward"][-30:]))
    assert drawn["title"] == folder.name and drawn["note"] == ""


def test_the_title_is_what_was_run(folder):
    env = "env_cfg: {id: CartPole-v1, entry_point: null}"
    folder.config_path.write_text(f"general_cfg: {{algo_name: 'mine.x:SoftPPO', seed: 7, mode: train}}\n{env}\n")
    assert title_of(folder.path) == "SoftPPO on CartPole-v1, seed 7"
    folder.config_path.write_text(
        "general_cfg: {algo_name: PPO}\nenv_cfg: {id: CartPole-v1, entry_point: mine.c:Corridor}\n"
    )
    assert title_of(folder.path) == "PPO on Corridor"
    folder.config_path.write_text("{")
    assert title_of(folder.path) == folder.name


def test_a_few_bad_episodes_do_not_flatten_the_rest(folder, monkeypatch):
    rewards = [-2000, -1500, *[-13 - n % 100 for n in range(200)]]
    rows = "".join(f"{n},{n * 10},{n},1,{reward},10\n" for n, reward in enumerate(rewards))
    (folder.results / "episodes.csv").write_text(EPISODES + rows)
    (folder.results / "eval.csv").write_text(EVAL + "1,500,1,10,-2000,0,-2000,-2000\n2,1500,1,10,40,0,40,40\n")
    drawn = {}
    monkeypatch.setattr(plots, "dress", lambda figure, axes, title, note, unit: drawn.update(axes=axes, note=note))
    plot_learning_curve(folder)
    bottom, top = drawn["axes"].get_ylim()
    assert -300 < bottom < -112 and 40 < top < 60  # the best evaluation stays in sight
    assert drawn["note"] == "axis cut: of 204 points 3 below, down to -2,000"


@pytest.mark.parametrize("backend", ["module://no_such_backend", "nonsense"])
def test_whatever_the_environment_says_of_backends_figures_are_drawn(folder, backend):
    fill(folder, 10, 2)
    code = (
        "import sys; from framework.reports.learning_curve import plot_learning_curve; "
        "from framework.runs.run_folder import RunFolder; print(plot_learning_curve(RunFolder(sys.argv[1])))"
    )
    root, path = Path(plots.__file__).parents[2], folder.figs / "learning_curve.png"
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder.path)],
        cwd=root, env={**os.environ, "MPLBACKEND": backend}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == str(path) and size(path) == (1200, 675)


def test_a_picture_that_fails_is_a_warning(folder, monkeypatch, caplog):
    fill(folder, 10, 2)
    monkeypatch.setattr(plots, "save", lambda *_: 1 / 0)
    with caplog.at_level(logging.WARNING, "joyride"):
        assert plot_learning_curve(folder) is None
    assert "the learning curve could not be drawn: ZeroDivisionError" in caplog.text


def test_odd_numbers_do_not_stop_the_drawing(folder):
    text = EPISODES + "0,10,0,0,nan,10\n1,20,0,0,inf,10\n2,30,0,0,,10\n3,40,0,0,5,10\n"
    (folder.results / "episodes.csv").write_text(text)
    assert size(plot_learning_curve(folder)) == (1200, 675)


def test_long_runs_are_thinned(folder):
    steps = "".join(f"{n},{n * 10},0,0,{n % 7},10\n" for n in range(100_000))
    (folder.results / "episodes.csv").write_text(EPISODES + steps)
    assert plot_learning_curve(folder).stat().st_size < 500_000


def test_show_without_a_display_warns(folder, monkeypatch, caplog):
    monkeypatch.setenv("MPLBACKEND", "agg")
    fill(folder, 10, 2)
    with caplog.at_level(logging.WARNING, "joyride"):
        assert size(plot_learning_curve(folder, show=True)) == (1200, 675)
    assert "no display" in caplog.text


def test_reports_load_neither_torch_nor_what_draws():
    code = """
import importlib, sys
for name in "canvas curves grid_plot group_curves groups learning_curve statistics tables titles".split():
    importlib.import_module(f"framework.reports.{name}")
    print(name, *{"torch", "matplotlib", "scipy"} & set(sys.modules))
"""
    root = Path(plots.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [[]] * 9, done.stdout

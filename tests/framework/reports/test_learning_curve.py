import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from framework.reports import learning_curve as plots
from framework.reports.learning_curve import plot_curves, plot_learning_curve, running_mean
from framework.reports.tables import read_csv
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


def test_running_mean():
    assert running_mean(np.array([1.0, 2, 3, 4]), 2).tolist() == [1, 1.5, 2.5, 3.5]
    assert running_mean(np.array([1.0, 2, 3]), 10).tolist() == [1, 1.5, 2]


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
    monkeypatch.setattr(plots, "_finish", lambda figure, axes, *_: drawn.update(axes=axes))
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


def test_odd_numbers_do_not_stop_the_drawing(folder):
    text = EPISODES + "0,10,0,0,nan,10\n1,20,0,0,inf,10\n2,30,0,0,,10\n3,40,0,0,5,10\n"
    (folder.results / "episodes.csv").write_text(text)
    assert size(plot_learning_curve(folder)) == (1200, 675)


def test_long_runs_are_thinned(folder):
    steps = "".join(f"{n},{n * 10},0,0,{n % 7},10\n" for n in range(100_000))
    (folder.results / "episodes.csv").write_text(EPISODES + steps)
    assert plot_learning_curve(folder).stat().st_size < 500_000


def test_several_runs_in_one_figure(tmp_path, monkeypatch):
    runs = {}
    for label, episodes, evaluations in (("lr=1", 50, 5), ("lr=2", 50, 0), ("failed", 0, 0)):
        runs[label] = RunFolder.create(tmp_path, "train", "CartPole-v1", "DQN", path=tmp_path / "Sweep" / label).path
        fill(RunFolder.open(runs[label]), episodes, evaluations)
    seen = {}
    finish = plots._finish
    monkeypatch.setattr(
        plots, "_finish", lambda figure, axes, *rest: seen.update(axes=axes) or finish(figure, axes, *rest)
    )
    out = plot_curves(runs, tmp_path / "Sweep" / "curves.png", title="a sweep")
    assert size(out) == (1200, 675)
    assert [text.get_text() for text in seen["axes"].figure.legends[0].get_texts()] == ["lr=1", "lr=2"]
    colors = [line.get_color() for line in seen["axes"].lines]
    assert len(set(colors)) == 2
    assert plot_curves({"failed": runs["failed"]}, tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_show_without_a_display_warns(folder, monkeypatch, caplog):
    monkeypatch.setenv("MPLBACKEND", "agg")
    fill(folder, 10, 2)
    with caplog.at_level(logging.WARNING, "joyride"):
        assert size(plot_learning_curve(folder, show=True)) == (1200, 675)
    assert "no display" in caplog.text


@pytest.mark.parametrize("module", ["learning_curve", "grid_plot", "statistics", "tables"])
def test_reports_load_neither_torch_nor_what_draws(module):
    code = f"import sys, framework.reports.{module}; print({{'torch', 'matplotlib', 'scipy'}} & set(sys.modules))"
    root = Path(plots.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True).stdout == b"set()\n"

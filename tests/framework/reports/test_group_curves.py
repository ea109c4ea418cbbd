"""The figure of a sweep: a line for each setting."""

import numpy as np
import pytest
from PIL import Image

from framework.reports import group_curves
from framework.reports.group_curves import plot_groups
from framework.reports.groups import Group, Member


@pytest.fixture
def drawn(monkeypatch):
    """What the last figure shows."""
    seen, dress = {}, group_curves.dress

    def keep(figure, axes, title, note):
        seen.update(axes=axes, title=title, note=note)
        dress(figure, axes, title, note)

    monkeypatch.setattr(group_curves, "dress", keep)
    return seen


def group(folder, name, rewards, done=True, n=6, length=1000):
    """Runs whose evaluations rise from 0 to the given rewards, out of 0 to 1."""
    runs = []
    for seed, reward in enumerate(rewards):
        run = folder / f"{name}-{seed}" / "results"
        run.mkdir(parents=True)
        rows = [f"{(k + 1) * length // n},{reward * k / (n - 1)},0,1" for k in range(n)]
        (run / "eval.csv").write_text("\n".join(["env_step,mean_reward,min_reward,max_reward", *rows, ""]))
        runs.append(Member(run.parent, done))
    return Group(name, runs)


def labels(drawn):
    return [text.get_text() for text in drawn["axes"].figure.legends[0].get_texts()]


def test_24_runs_are_two_lines_with_their_bands(tmp_path, drawn):
    rng = np.random.default_rng(0)
    groups = [group(tmp_path, name, rng.uniform(0.3, 1, 12)) for name in ("lr=0.001", "lr=0.0001")]
    assert plot_groups(groups, tmp_path / "curves.png", "PPO on X") == tmp_path / "curves.png"
    assert labels(drawn) == ["lr=0.001 (n = 12)", "lr=0.0001 (n = 12)"] and drawn["title"] == "PPO on X"
    axes = drawn["axes"]
    thick = [line for line in axes.lines if line.get_linewidth() > 2]
    faint = [line for line in axes.lines if line.get_linewidth() < 1]
    assert len(thick) == 2 and len(faint) == 24 and len({line.get_color() for line in axes.lines}) == 2
    for band in axes.collections:
        y = band.get_paths()[0].vertices[:, 1]
        assert y.min() >= 0 and y.max() <= 1
    last = thick[0].get_ydata()[-1]
    runs = [line.get_ydata()[-1] for line in faint if line.get_color() == thick[0].get_color()]
    assert last == pytest.approx(np.mean(runs))
    assert "95% interval" in drawn["note"] and "thin: single seeds" in drawn["note"]
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (1200, 675)


def test_what_is_not_done_is_dotted_and_does_not_count(tmp_path, drawn):
    some = group(tmp_path, "a", [0.5, 0.7])
    some.runs += group(tmp_path, "failed", [0.1], done=False).runs
    groups = [some, group(tmp_path, "b", [0.2], done=False), Group("c", [Member(tmp_path / "nothing", False)])]
    plot_groups(groups, tmp_path / "curves.png", "t")
    assert labels(drawn) == ["a (n = 2 of 3)", "b (n = 0 of 1)"]
    assert drawn["axes"].lines[-2].get_ydata()[-1] == pytest.approx(0.6)
    assert "dotted: not finished" in drawn["note"]


def test_runs_of_different_length(tmp_path, drawn):
    some = group(tmp_path, "a", [0.5], length=300)
    some.runs += group(tmp_path, "longer", [0.7]).runs
    plot_groups([some], tmp_path / "curves.png", "t")
    assert group_curves.HELD in drawn["note"] and drawn["axes"].lines[-1].get_xdata()[-1] == 1000


def test_many_settings_have_lines_and_room_of_their_own(tmp_path, drawn):
    groups = [group(tmp_path, f"algo_name=Algorithm{n}", [0.5]) for n in range(14)]
    plot_groups(groups, tmp_path / "curves.png", "t")
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn["axes"].lines}) == 14
    assert drawn["note"] == "evaluations" and len(labels(drawn)) == 14
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size[1] > 675


def test_nothing_to_draw(tmp_path):
    assert plot_groups([Group("a", [Member(tmp_path)])], tmp_path / "curves.png", "t") is None
    assert not (tmp_path / "curves.png").exists()

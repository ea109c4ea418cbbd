"""A run's learning curve, drawn from its CSV files."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from framework.reports.canvas import ENV_STEPS, dress, limit_axis, new_axes, no_harm, save, show_window
from framework.reports.curves import clock_of, points, running_mean, window_of
from framework.reports.tables import read_csv
from framework.reports.titles import title_of
from framework.runs.run_folder import RunFolder

EPISODE, EVALUATION, BEST = "#4878a8", "#d1603d", "#2b2b2b"
MAX_DOTS = 4000  # more than a figure of this size can show


def plot_learning_curve(folder: RunFolder, *, show: bool = False) -> Path | None:
    """Draw figs/learning_curve.png: training episodes, their running mean, evaluations with their best.

    Returns its path, or None if there is nothing to draw or it cannot be drawn, which is a warning. With `show` it
    also opens a window, if there is one.
    """
    results = folder.path / "results"
    episodes = points(read_csv(results / "episodes.csv"), "env_step", "reward")
    table = read_csv(results / "eval.csv")
    clock = clock_of(table)
    evaluations = points(table, clock, "mean_reward", "std_reward")
    if not episodes[0].size and not evaluations[0].size:
        return None
    with no_harm("the learning curve"):
        figure, axes = new_axes(show)
        if episodes[0].size:
            _draw_episodes(axes, *episodes)
        if evaluations[0].size:
            _draw_evaluations(axes, *evaluations)
        note = limit_axis(axes, np.concatenate((episodes[1], evaluations[1])), [evaluations[1]])
        dress(figure, axes, title_of(folder.path), note, "updates" if clock == "update_step" else ENV_STEPS)
        out = save(figure, folder.figs / "learning_curve.png")
        if show:
            show_window(figure)
        return out
    return None


def _draw_episodes(axes: Any, x: np.ndarray, reward: np.ndarray) -> None:
    some = slice(None, None, math.ceil(len(x) / MAX_DOTS))
    size = float(np.clip(2500 / len(x), 3, 14))
    axes.scatter(x[some], reward[some], s=size, color=EPISODE, alpha=0.35, linewidths=0, label="training episode")
    window = window_of(len(x))
    if window > 1:
        mean = running_mean(reward, window)
        axes.plot(x[some], mean[some], color=EPISODE, linewidth=1.8, label=f"mean of {window} episodes")


def _draw_evaluations(axes: Any, x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    axes.fill_between(x, mean - std, mean + std, color=EVALUATION, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=EVALUATION, linewidth=2, marker="o", markersize=4, label="evaluation, mean ± std")
    best = len(mean) - 1 - int(np.argmax(mean[::-1]))  # of equals the last, as models/best.pt
    label = f"best evaluation: {mean[best]:.4g}"
    axes.plot(x[best], mean[best], "*", color=BEST, markersize=13, markeredgecolor="white", label=label, zorder=5)

"""Learning curves, drawn from a run's CSV files. matplotlib is imported where it is used: it takes half a second."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from framework.reports.tables import Columns, read_csv
from framework.runs.run_folder import RunFolder, atomic_write

log = logging.getLogger("joyride")

EPISODE, EVALUATION, BEST = "#4878a8", "#d1603d", "#2b2b2b"
PALETTE = ("#4878a8", "#d1603d", "#5a9367", "#8c6bb1", "#c9a227", "#3a9ca6", "#b5577c", "#7a6a58", "#6b7a8f", "#94a83c")
MAX_DOTS = 4000  # more than a figure of this size can show


def plot_learning_curve(folder: RunFolder, *, show: bool = False) -> Path | None:
    """Draw figs/learning_curve.png: training episodes, their running mean, evaluations with their best.

    Returns its path, or None where there is nothing to draw. With `show` it also opens a window, where there is one.
    """
    results = folder.path / "results"
    episodes = _points(read_csv(results / "episodes.csv"), "env_step", "reward")
    evaluations = _points(read_csv(results / "eval.csv"), "env_step", "mean_reward", "std_reward")
    if not episodes[0].size and not evaluations[0].size:
        return None
    figure, axes = _figure(show)
    if episodes[0].size:
        _draw_episodes(axes, *episodes)
    if evaluations[0].size:
        _draw_evaluations(axes, *evaluations)
    return _finish(figure, axes, folder.name, folder.figs / "learning_curve.png", show)


def plot_curves(curves: Mapping[str, Path], out: Path, *, title: str = "", show: bool = False) -> Path | None:
    """Draw one line for each run folder of `curves` (label -> folder) into the PNG `out`; None where all are empty."""
    figure, axes = _figure(show)
    labels = [label for label, folder in curves.items() if draw_run(axes, folder, label)]
    if not labels:
        return None
    return _finish(figure, axes, title, Path(out), show)


def draw_run(axes: Any, folder: Path, label: str, color: str | None = None) -> bool:
    """Add one run's line to `axes`: the evaluation mean with its band, else the running mean of the episodes.

    False, and nothing drawn, where the run has neither.
    """
    color = color or PALETTE[len(axes.lines) % len(PALETTE)]
    results = Path(folder) / "results"
    x, mean, std = _points(read_csv(results / "eval.csv"), "env_step", "mean_reward", "std_reward")
    if x.size:
        axes.fill_between(x, mean - std, mean + std, color=color, alpha=0.12, linewidth=0)
        axes.plot(x, mean, color=color, linewidth=1.8, marker="o", markersize=3, label=label)
        return True
    x, reward = _points(read_csv(results / "episodes.csv"), "env_step", "reward")
    if x.size:
        axes.plot(x, running_mean(reward, _window(len(x))), color=color, linewidth=1.8, label=label)
    return bool(x.size)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values at each place, of fewer at the start. [n] -> [n]"""
    total = np.cumsum(np.concatenate(([0.0], values)))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def _draw_episodes(axes: Any, x: np.ndarray, reward: np.ndarray) -> None:
    some = slice(None, None, math.ceil(len(x) / MAX_DOTS))
    size = float(np.clip(2500 / len(x), 3, 14))
    axes.scatter(x[some], reward[some], s=size, color=EPISODE, alpha=0.35, linewidths=0, label="training episode")
    window = _window(len(x))
    if window > 1:
        mean = running_mean(reward, window)
        axes.plot(x[some], mean[some], color=EPISODE, linewidth=1.8, label=f"mean of {window} episodes")


def _draw_evaluations(axes: Any, x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    axes.fill_between(x, mean - std, mean + std, color=EVALUATION, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=EVALUATION, linewidth=2, marker="o", markersize=4, label="evaluation, mean ± std")
    best = len(mean) - 1 - int(np.argmax(mean[::-1]))  # of equals the last, as models/best.pt
    label = f"best evaluation: {mean[best]:.4g}"
    axes.plot(x[best], mean[best], "*", color=BEST, markersize=13, markeredgecolor="white", label=label, zorder=5)


def _window(count: int) -> int:
    return min(100, max(1, count // 10))


def _points(columns: Columns, *names: str) -> list[np.ndarray]:
    """The named columns as arrays, without the rows that have a gap in one of the first two."""
    if any(name not in columns for name in names[:2]):
        return [np.empty(0) for _ in names]
    count = len(columns[names[0]])
    arrays = [np.nan_to_num(np.array(columns.get(name, [0.0] * count))) for name in names[2:]]
    arrays = [np.array(columns[name]) for name in names[:2]] + arrays
    whole = np.isfinite(arrays[0]) & np.isfinite(arrays[1])
    return [array[whole] for array in arrays]


def _figure(show: bool) -> tuple[Any, Any]:
    if show:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    else:  # a figure of its own needs neither a display nor pyplot's list of figures
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure()
        FigureCanvasAgg(figure)
    figure.set_size_inches(8, 4.5)
    figure.set_layout_engine("constrained")
    return figure, figure.add_subplot()


def _finish(figure: Any, axes: Any, title: str, out: Path, show: bool) -> Path:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("episode reward")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    labels = axes.get_legend_handles_labels()[1]
    columns = max(1, min(4, 140 // (max(map(len, labels)) + 8)))
    figure.legend(
        loc="outside lower center", ncols=columns, fontsize=9, columnspacing=1.5, frameon=False
    )  # it never hides a point
    atomic_write(out, lambda file: figure.savefig(file, format="png", dpi=150))
    if show:
        _show(figure)
    return out


def _show(figure: Any) -> None:
    import matplotlib
    import matplotlib.pyplot as plt

    if matplotlib.get_backend().lower() == "agg":
        log.warning("show_fig: there is no display here; the figure is in the run folder")
    else:
        plt.show()
    plt.close(figure)

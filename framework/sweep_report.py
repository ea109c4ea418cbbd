"""The table and the figure of a sweep."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from framework.run_folder import atomic_write

SMOOTHED_EPISODES = 20  # a curve of single episodes is drawn as their moving mean


@dataclass
class Row:
    """One job of the table."""

    job: str  # name of its folder
    overrides: str
    wall_time: float
    status: str


def write_summary(folder: Path, rows: list[Row]) -> Path:
    """Write summary.csv: final and best evaluation of every job (of a test, its mean); the path."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["job", "overrides", "final_eval", "best_eval", "wall_time", "status"])
    for row in rows:
        table.writerow([row.job, row.overrides, *_evaluations(folder / row.job), f"{row.wall_time:.1f}", row.status])
    atomic_write(folder / "summary.csv", text.getvalue().encode())
    return folder / "summary.csv"


def write_curves(folder: Path, rows: list[Row]) -> Path | None:
    """Draw the learning curves of all jobs in curves.png; the path, or None where no job has one."""
    curves = [(row.overrides or row.job, *_curve(folder / row.job)) for row in rows]
    curves = [curve for curve in curves if curve[1]]
    if not curves:
        return None
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="environment steps", ylabel="mean reward")
    for name, steps, rewards in curves:
        axes.plot(steps, rewards, label=name, linewidth=1.2)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small" if len(curves) <= 20 else "xx-small")
    atomic_write(folder / "curves.png", lambda file: figure.savefig(file, format="png", dpi=120))
    return folder / "curves.png"


def _evaluations(run: Path) -> tuple[str, str]:
    """The final and the best mean reward of a run's evaluations; of a test, the mean of its episodes."""
    means = [float(row["mean_reward"]) for row in _rows(run / "results" / "eval.csv")]
    if means:
        return f"{means[-1]:g}", f"{max(means):g}"
    tested = [float(row["reward"]) for row in _rows(run / "results" / "test.csv")]
    mean = f"{sum(tested) / len(tested):g}" if tested else ""
    return mean, mean


def _curve(run: Path) -> tuple[list[float], list[float]]:
    """Environment steps and mean rewards of a run: of its evaluations, else of its training episodes."""
    rows = _rows(run / "results" / "eval.csv")
    if rows:
        return [float(row["env_step"]) for row in rows], [float(row["mean_reward"]) for row in rows]
    rows = _rows(run / "results" / "episodes.csv")
    rewards = [float(row["reward"]) for row in rows]
    windows = [rewards[max(0, end - SMOOTHED_EPISODES) : end] for end in range(1, len(rewards) + 1)]
    return [float(row["env_step"]) for row in rows], [sum(window) / len(window) for window in windows]


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where it does not exist. A last row that was torn off is left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]

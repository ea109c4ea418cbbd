"""The table and the figure of a sweep."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from framework.reports.tables import read_csv
from framework.runs.run_folder import atomic_write


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
    from framework.reports.learning_curve import plot_curves  # numpy is not imported before a run

    curves = {row.overrides or row.job: folder / row.job for row in rows}
    return plot_curves(curves, folder / "curves.png", title=folder.name)


def _evaluations(run: Path) -> tuple[str, str]:
    """The final and the best mean reward of a run's evaluations; of a test, the mean of its episodes."""
    means = read_csv(run / "results" / "eval.csv").get("mean_reward")
    if means:
        return f"{means[-1]:g}", f"{max(means):g}"
    tested = read_csv(run / "results" / "test.csv").get("reward")
    mean = f"{sum(tested) / len(tested):g}" if tested else ""
    return mean, mean

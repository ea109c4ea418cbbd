"""The table and the figure of a sweep."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

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
    means = [float(row["mean_reward"]) for row in _rows(run / "results" / "eval.csv")]
    if means:
        return f"{means[-1]:g}", f"{max(means):g}"
    tested = [float(row["reward"]) for row in _rows(run / "results" / "test.csv")]
    mean = f"{sum(tested) / len(tested):g}" if tested else ""
    return mean, mean


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where it does not exist. A last row that was torn off is left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]

"""The tables and the figure of a sweep, by job and by setting."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.commands.sweep_status import DONE
from framework.reports.groups import Group, Member, final_and_best, group_runs, score_of
from framework.runs.files import atomic_write

JOBS = ("job", "overrides", "final_eval", "best_eval", "wall_time", "status")
CAPTION = "final and best evaluation: means over the seeds that are done"
SETTINGS = ("setting", "jobs", "n", "mean", "low", "high", "best")


@dataclass
class Row:
    """One job of the table."""

    job: str  # name of its folder
    overrides: str
    wall_time: float
    status: str
    setting: str = ""  # the overrides without the seed


def write_summary(folder: Path, rows: Sequence[Row]) -> Path:
    """Write summary.csv: final and best evaluation of every job (of a test, its mean); the path."""
    table: list[Sequence[object]] = [JOBS]
    for row in rows:
        scores = [f"{score:g}" for score in final_and_best(folder / row.job) or ()] or ["", ""]
        table.append([row.job, row.overrides, *scores, f"{row.wall_time:.1f}", row.status])
    return _write(folder / "summary.csv", table)


def write_settings(folder: Path, groups: Sequence[Group]) -> Path:
    """Write summary_by_setting.csv: final evaluation over the seeds with its 95% interval, and the best; the path."""
    table: list[Sequence[object]] = [SETTINGS]
    for group in groups:
        score = score_of(group)
        scores = (score.mean, score.low, score.high, score.best) if score else (None,) * 4
        cells = ["" if value is None else f"{value:g}" for value in scores]
        table.append([group.name, len(group.runs), score.n if score else 0, *cells])
    return _write(folder / "summary_by_setting.csv", table)


def write_curves(folder: Path, groups: Sequence[Group], title: str) -> Path | None:
    """Draw the learning curves of all settings in curves.png; the path, or None if there is none."""
    from framework.reports.group_curves import plot_groups  # numpy is not imported before a run

    return plot_groups(groups, folder / "curves.png", title)


def groups_of(folder: Path, rows: Sequence[Row], title: str) -> list[Group]:
    """The jobs by setting; where only the seed was swept, the one group is called like the sweep."""
    members = [(row.setting or title, Member(folder / row.job, row.status == DONE)) for row in rows]
    return group_runs(members)


def print_settings(groups: Sequence[Group], title: str) -> None:
    """Print the table by setting."""
    from rich.console import Console  # it takes a while, and --help imports this module
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("setting", "n", "final", "95% interval", "best"):
        table.add_column(name, justify="left" if name == "setting" else "right", overflow="fold")
    for group in groups:
        score, jobs = score_of(group), len(group.runs)
        n = score.n if score else 0
        cells = ["", "", ""]
        if score is not None:
            interval = "" if score.low is None else f"{score.low:.4g} to {score.high:.4g}"
            cells = [f"{score.mean:.4g}", interval, f"{score.best:.4g}"]
        table.add_row(group.name, str(n) if n == jobs else f"{n} of {jobs}", *cells)
    console = Console(width=None if os.isatty(1) else 120, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    console.print(CAPTION)


def _write(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    atomic_write(path, text.getvalue().encode())
    return path

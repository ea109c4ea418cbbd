"""Reads the CSV tables of run folders (without numpy, which the command line loads late)."""

import csv
import math
from pathlib import Path

Columns = dict[str, list[float]]


def read_csv(path: Path | str) -> Columns:
    """Columns of numbers by name; empty if there is no file. What is not a number becomes nan.

    A last row that was cut off while being written (no line end) is left out.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    whole = text[: text.rfind("\n") + 1]
    rows = [row for row in csv.reader(whole.splitlines()) if row]
    if not rows:
        return {}
    header = rows[0]
    columns: Columns = {name: [] for name in header}
    for row in rows[1:]:
        if len(row) == len(header):
            for name, text in zip(header, row, strict=True):
                columns[name].append(_number(text))
    return columns


def training_seconds(run: Path) -> float:
    """Seconds of training, as the last rows of a run's tables say; 0 if it has none."""
    tables = [read_csv(run / "results" / name) for name in ("updates.csv", "eval.csv", "episodes.csv")]
    return max((seconds for table in tables for seconds in table.get("wall_time", [])), default=0.0)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

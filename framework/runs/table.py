"""CSV tables of a run: rows are written whole, columns may be added later, and a checkpoint can be restored."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from framework.runs.files import atomic_write


class Table:
    """A CSV file to which whole rows are appended, each by one write, so that no kill leaves a torn row behind it.

    `state` is what `state_dict` gave at a checkpoint: rows and columns that came later are cut off.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], state: dict[str, Any] | int | None = None):
        self.path, self.columns, self.rows = path, columns, 0
        if state is not None and path.exists():
            self._cut(state)
        self.file = path.open("ab", buffering=0)
        if self.file.tell() == 0 and columns:
            self.file.write(_lines([columns]))

    def _cut(self, state: dict[str, Any] | int) -> None:
        """Take the file back to a checkpoint; those of older versions tell its size in bytes."""
        if isinstance(state, int):
            with self.path.open("r+b") as file:
                file.truncate(min(state, self.path.stat().st_size))
            header, *rows = self._read() or [[]]
            self.columns, self.rows = tuple(header), len(rows)
            return
        self.columns, self.rows = tuple(state["columns"]), state["rows"]
        header, *rows = self._read() or [[]]
        if len(rows) > self.rows or set(header) > set(self.columns):
            self._replace(header, rows[: self.rows])

    def _read(self) -> list[list[str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def _replace(self, header: list[str], rows: list[list[str]]) -> None:
        """Write the file again, at once, in the present columns: cells go by the names of theirs."""
        places = [header.index(name) if name in header else None for name in self.columns]
        lines = [["" if place is None else row[place] for place in places] for row in rows]
        atomic_write(self.path, _lines([self.columns, *lines]) if self.columns else b"")

    def append(self, row: Sequence[Any]) -> None:
        """Write one row."""
        self.file.write(_lines([row]))
        self.rows += 1

    def widen(self, names: Iterable[str]) -> None:
        """Add columns, which are empty in the rows before."""
        header, *rows = self._read() or [[]]
        self.columns = (*self.columns, *names)
        self.file.close()
        self._replace(header, rows)
        self.file = self.path.open("ab", buffering=0)

    def state_dict(self) -> dict[str, Any]:
        """Columns and number of rows, all of them on the disk."""
        os.fsync(self.file.fileno())
        return {"columns": list(self.columns), "rows": self.rows}


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

"""CSV tables of a run: rows are written whole, columns may be added later, and a checkpoint can be restored."""

import csv
import errno
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework.runs.files import atomic_write, writing

log = logging.getLogger("joyride")


class Table:
    """A CSV file to which whole rows are appended, each by one write, so that no kill leaves a torn row behind it.

    `state` is what `state_dict` gave at a checkpoint: rows and columns that came later are cut off. If somebody deletes
    the file meanwhile, it is written again at the next checkpoint, and at the end. UserError if it cannot be written.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], state: dict[str, Any] | int | None = None):
        self.path, self.columns, self.rows = path, columns, 0
        if state is not None and (path.exists() or not isinstance(state, int)):
            self._cut(state)
        with writing(path):
            self.file = path.open("a+b", buffering=0)
        if self.file.tell() == 0 and self.columns:
            self._write(_lines([self.columns]))

    def _cut(self, state: dict[str, Any] | int) -> None:
        """Take the file back to a checkpoint; those of older versions tell its size in bytes."""
        if isinstance(state, int):
            with writing(self.path), self.path.open("r+b") as file:
                file.truncate(min(state, self.path.stat().st_size))
            header, *rows = self._read() or [[]]
            self.columns, self.rows = tuple(header), len(rows)
            return
        self.columns, self.rows = tuple(state["columns"]), state["rows"]
        header, *rows = self._read() or [[]]
        if len(rows) < self.rows:
            log.warning("%s has %d rows, %d fewer than at the checkpoint", self.path, len(rows), self.rows - len(rows))
            self.rows = len(rows)
        if len(rows) > self.rows or set(header) > set(self.columns):
            self._replace(header, rows[: self.rows])

    def _read(self) -> list[list[str]]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                return list(csv.reader(file))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"cannot read {self.path}: {error}; move it away, and what it held is lost") from None

    def _replace(self, header: list[str], rows: list[list[str]]) -> None:
        """Write the file again, at once, in the present columns: cells go by the names of theirs."""
        places = [header.index(name) if name in header else None for name in self.columns]
        lines = [["" if place is None else "".join(row[place : place + 1]) for place in places] for row in rows]
        atomic_write(self.path, _lines([self.columns, *lines]) if self.columns else b"")

    def append(self, row: Sequence[Any]) -> None:
        """Write one row."""
        self._write(_lines([row]))
        self.rows += 1

    def append_named(self, cells: Mapping[str, Any]) -> None:
        """Write one row, cells by column; columns that the table lacks are added."""
        new = [name for name in cells if name not in self.columns]
        if new:
            self.widen(new)
        self.append([cells.get(name, "") for name in self.columns])

    def _write(self, lines: bytes) -> None:
        """Write whole lines or, on a full disk, nothing."""
        with writing(self.path):
            start = self.file.seek(0, os.SEEK_END)
            try:
                if self.file.write(lines) != len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self.file.truncate(start)
                raise

    def bring_back(self) -> None:
        """Write the file again if it has been deleted or replaced: what is open still holds all of it."""
        with writing(self.path):
            mine = os.fstat(self.file.fileno())
            if self.path.exists() and os.path.samestat(mine, self.path.stat()):
                return
            self.file.seek(0)
            content = self.file.read()
            self.file.close()
            log.warning("%s was deleted while the run writes it; it is written again", self.path)
            atomic_write(self.path, content)
            self.file = self.path.open("a+b", buffering=0)

    def widen(self, names: Iterable[str]) -> None:
        """Add columns, which are empty in the rows before."""
        self.bring_back()
        header, *rows = self._read() or [[]]
        self.columns = (*self.columns, *names)
        self.file.close()
        self._replace(header, rows)
        with writing(self.path):
            self.file = self.path.open("a+b", buffering=0)

    def state_dict(self) -> dict[str, Any]:
        """Columns and number of rows, all of them on the disk."""
        self.bring_back()
        with writing(self.path):
            os.fsync(self.file.fileno())
        return {"columns": list(self.columns), "rows": self.rows}


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

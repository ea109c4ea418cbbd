"""The recorder: all that a run writes down while it goes, and how it is cut back when the run is resumed."""

import csv
import io
import math
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from framework.runs.loggers import make_logger
from framework.runs.run_folder import RunFolder, atomic_write
from framework.training.evaluator import Evaluation
from framework.training.worker import Episode

RECENT = 100  # episodes in the running means
EPISODES = ("episode", "env_step", "update_step", "wall_time", "reward", "length")
EVALUATIONS = (
    "update_step", "env_step", "wall_time", "episodes", "mean_reward", "std_reward", "min_reward", "max_reward",
)  # fmt: skip


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
        """Write the file anew, at once, in the present columns: cells go by the names of theirs."""
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


class Recorder:
    """Writes episodes, updates and evaluations to CSV and to the loggers; metrics stay tensors until a row is due."""

    def __init__(self, folder: RunFolder, loggers: list[str], log_interval: int, state: dict[str, Any] | None = None):
        self.folder, self.logger_names, self.log_interval = folder, loggers, log_interval
        self._open(state)

    def _open(self, state: dict[str, Any] | None) -> None:
        """Begin the files, or take them back to `state`, what `state_dict` gave."""
        # an older version's runs have the files' sizes
        tables: dict[str, Any] = (state["tables"] if "tables" in state else state["sizes"]) if state else {}
        results = self.folder.results
        self.episodes = Table(results / "episodes.csv", EPISODES, tables.get("episodes"))
        self.evaluations = Table(results / "eval.csv", EVALUATIONS, tables.get("eval"))
        self.updates = Table(results / "updates.csv", (), tables.get("updates"))
        loggers = state["loggers"] if state else {}
        self.loggers = {
            name: make_logger(name, self.folder.path, self.folder.tb_logs, loggers.get(name))
            for name in self.logger_names
        }
        self.pending: list[Mapping[str, Tensor | float]] = list(state["pending"]) if state else []
        self.last_row = tuple(state["last_row"]) if state else (0, 0)
        self.recent: deque[tuple[float, int]] = deque(map(tuple, state["recent"]) if state else (), maxlen=RECENT)
        self.latest: dict[str, float] = dict(state["latest"]) if state else {}
        self.started = time.monotonic() - (state["wall_time"] if state else 0.0)
        self.row_time = self.wall_time()

    def go_back(self, state: dict[str, Any]) -> None:
        """Take all files back to a checkpoint of this run."""
        self.close()
        self._open(state)

    def wall_time(self) -> float:
        """Seconds of training so far, resumed parts summed."""
        return time.monotonic() - self.started

    def skip_time(self, since: float) -> None:
        """Do not count the time since `wall_time` was `since`."""
        self.started += self.wall_time() - since
        self.row_time = min(self.row_time, since)

    def episode(self, number: int, episode: Episode, update_step: int) -> None:
        """A training episode ended."""
        self.recent.append((episode.reward, episode.length))
        wall_time = f"{self.wall_time():.3f}"
        self.episodes.append((number, episode.env_step, update_step, wall_time, episode.reward, episode.length))

    def update(self, metrics: Mapping[str, Tensor | float], update_step: int, env_step: int) -> None:
        """An update was made; its metrics go into the mean of the next row, under any names."""
        self.pending.append(metrics)
        if update_step // self.log_interval > self.last_row[0] // self.log_interval:
            self._write_updates(update_step, env_step)

    def flush(self, update_step: int, env_step: int) -> None:
        """Write a row of the updates since the last one, if there are any: the run is over."""
        if self.pending:
            self._write_updates(update_step, env_step)

    def _write_updates(self, update_step: int, env_step: int) -> None:
        self.latest = means_of(self.pending)
        wall_time = self.wall_time()
        row = {"update_step": update_step, "env_step": env_step, "wall_time": f"{wall_time:.3f}", **self.latest}
        new = [name for name in row if name not in self.updates.columns]
        if new:
            self.updates.widen(new)
        self.updates.append([row.get(name, "") for name in self.updates.columns])
        elapsed = max(wall_time - self.row_time, 1e-9)
        rates = {
            "time/env_steps_per_second": (env_step - self.last_row[1]) / elapsed,
            "time/updates_per_second": (update_step - self.last_row[0]) / elapsed,
        }
        self._log(self.latest | rates | self.recent_means(), env_step)
        self.pending, self.last_row, self.row_time = [], (update_step, env_step), wall_time

    def recent_means(self) -> dict[str, float]:
        """Mean reward and length of the last training episodes; empty before the first."""
        if not self.recent:
            return {}
        rewards, lengths = zip(*self.recent, strict=True)
        return {
            "episode/mean_reward": sum(rewards) / len(rewards),
            "episode/mean_length": sum(lengths) / len(lengths),
        }

    def entropy(self) -> dict[str, float]:
        """The policy's entropy in the last row of updates, under `entropy`; empty where an algorithm tells none."""
        if "train/entropy" in self.latest:
            return {"entropy": self.latest["train/entropy"]}
        loss = self.latest.get("train/entropy_loss")
        return {} if loss is None else {"entropy": -loss}

    def evaluation(self, result: Evaluation, update_step: int, env_step: int) -> None:
        """An evaluation was made."""
        values = (result.mean, result.std, min(result.rewards), max(result.rewards))
        count = len(result.rewards)
        self.evaluations.append((update_step, env_step, f"{self.wall_time():.3f}", count, *values))
        names = ("eval/mean_reward", "eval/std_reward", "eval/min_reward", "eval/max_reward")
        self._log(dict(zip(names, values, strict=True)), env_step)

    def _log(self, scalars: Mapping[str, float], env_step: int) -> None:
        for logger in self.loggers.values():
            for name, value in scalars.items():
                logger.scalar(name, value, env_step)

    def state_dict(self) -> dict[str, Any]:
        """How far the files go, so that rows written after this moment can be cut off, and what is not yet written."""
        tables = {"episodes": self.episodes, "updates": self.updates, "eval": self.evaluations}
        return {
            "tables": {name: table.state_dict() for name, table in tables.items()},
            "loggers": {name: logger.state_dict() for name, logger in self.loggers.items()},
            "pending": [{name: float(value) for name, value in metrics.items()} for metrics in self.pending],
            "last_row": list(self.last_row),
            "recent": [list(row) for row in self.recent],
            "latest": self.latest,
            "wall_time": self.wall_time(),
        }

    def close(self) -> None:
        """Close all files."""
        for table in (self.episodes, self.updates, self.evaluations):
            table.file.close()
        for logger in self.loggers.values():
            logger.close()


def means_of(rows: Sequence[Mapping[str, Tensor | float]]) -> dict[str, float]:
    """Means of metrics over the updates that gave them."""
    names = dict.fromkeys(name for metrics in rows for name in metrics)
    return {name: mean_of([metrics[name] for metrics in rows if name in metrics]) for name in names}


def mean_of(values: list[Tensor | float]) -> float:
    """Mean of metrics with one transfer from the device; exact summation, so that a resumed run gets the same."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    numbers = [value for value in values if not isinstance(value, Tensor)]
    if tensors:
        numbers += torch.stack(tensors).tolist()
    return math.fsum(numbers) / len(numbers)

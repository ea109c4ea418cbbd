"""A logger for loops of one's own: metrics to metrics.csv, TensorBoard and W&B, with running statistics."""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from algos.common.errors import UserError, did_you_mean
from framework.runs.files import atomic_write, writing
from framework.runs.loggers import WandB, check_loggers, make_logger
from framework.runs.table import Table


class Running:
    """Mean, deviation, extremes and the last of the values so far (Welford's sums)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.least, self.most, self.last = math.inf, -math.inf, math.nan

    def add(self, value: float) -> None:
        """One value more."""
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.squares += before * (value - self.mean)
        self.least, self.most, self.last = min(self.least, value), max(self.most, value), value

    def stats(self) -> dict[str, float]:
        """All of them; `std` is that of the values themselves, 0 for one."""
        std = math.sqrt(self.squares / self.count)
        values = {"mean": self.mean, "std": std, "min": self.least, "max": self.most, "last": self.last}
        return {**values, "count": self.count}


class Logger:
    """Writes scalars by name and step to `<folder>/metrics.csv` and to `loggers`: tensorboard, wandb.

    `log(metrics, step)`, `get_stats(name)`, `save_config(config)`, `close()`. A folder that holds a log already is gone
    on with; the statistics are of this object's values. `loggers=["tensorboard", "wandb"]` adds W&B, which
    WANDB_MODE=offline keeps on this machine. Raises UserError if the folder cannot be written or W&B is missing.
    """

    def __init__(self, folder: str | Path, loggers: Iterable[str] = ("tensorboard",)):
        self.folder, names = Path(folder), list(loggers)
        for name in names:
            if name not in ("tensorboard", "wandb"):
                raise UserError(f"Logger: unknown logger {name!r}; choose from tensorboard, wandb")
        check_loggers(names)
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / "metrics.csv"
            self.table = Table(path, _columns(path) or ("step",))
        self.loggers = [make_logger(name, self.folder, self.folder / "tb_logs", None) for name in names]
        self.running: dict[str, Running] = {}
        self.closed = False

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """One row: numbers, or tensors and arrays of one, by name. Names may come later than the first row."""
        self._check_open()
        values = {name: _number(name, value) for name, value in metrics.items()}
        cells = {"step": int(step), **values}
        new = [name for name in cells if name not in self.table.columns]
        if new:
            self.table.widen(new)
        self.table.append([cells.get(name, "") for name in self.table.columns])
        for name, value in values.items():
            self.running.setdefault(name, Running()).add(value)
        for logger in self.loggers:
            logger.scalars(values, int(step))

    def get_stats(self, name: str) -> dict[str, float]:
        """mean, std, min, max, last and count of all values logged under a name; UserError for an unknown one."""
        if name not in self.running:
            raise UserError(f"Logger: nothing was logged as {name!r}; {did_you_mean(name, self.running)}")
        return self.running[name].stats()

    def save_config(self, config: Mapping[str, Any]) -> Path:
        """Write a dictionary of settings to config.json, and to W&B; what JSON does not know is written as text."""
        self._check_open()
        plain = json.loads(json.dumps(dict(config), default=str))
        path = self.folder / "config.json"
        atomic_write(path, (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode())
        for logger in self.loggers:
            if isinstance(logger, WandB):
                logger.run.config.update(plain, allow_val_change=True)
        return path

    def close(self) -> None:
        """Close all files; a second time changes nothing."""
        if not self.closed:
            self.closed = True
            self.table.file.close()
            for logger in self.loggers:
                logger.close()

    def _check_open(self) -> None:
        if self.closed:
            raise UserError(f"the Logger of {self.folder} is closed; make another, which goes on in the same folder")


def _columns(path: Path) -> tuple[str, ...]:
    """The columns of a table that is there already."""
    if not path.exists():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(next(csv.reader(file), ()))


def _number(name: str, value: Any) -> float:
    if name == "step":
        raise UserError("Logger: 'step' is the column of the steps; give that metric another name")
    try:
        number = value.item() if hasattr(value, "item") else value
        return float(number + 0)  # text is no number
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"Logger: {name} is a {type(value).__name__}, not one number") from None

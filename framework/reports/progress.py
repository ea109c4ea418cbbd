"""The progress of a run: a bar on a terminal, plain lines elsewhere."""

import datetime
import logging
import sys
import time
from pathlib import Path
from typing import Any

from rich.progress import Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from envs.config import class_name
from framework.runs.logs import console
from framework.settings.schema import Config

log = logging.getLogger("joyride")
BAR_SECONDS = 0.2  # between two refreshes of the bar
LEAST_BAR, MOST_BAR = 5, 40  # characters of the bar
LINE_SECONDS = 10.0  # between two plain lines


def start_line(doing: str, cfg: Config, device: str, folder: Path) -> str:
    """The first line of a run."""
    general = cfg.general_cfg
    where = f"Ray, {general.n_workers} workers, device {device}" if general.mp_backend == "ray" else f"device {device}"
    limit = f"{general.online_eval_episode} episodes" if general.mode == "test" else _limits(cfg)
    return f"{doing} on {env_name(cfg)}: {where}, seed {general.seed}, {limit}, in {folder}"


def env_name(cfg: Config) -> str:
    """The environment's name: its id, or the class in env_cfg.entry_point."""
    entry_point = cfg.env_cfg.entry_point
    return cfg.env_cfg.id if entry_point is None else class_name(entry_point)


def _limits(cfg: Config) -> str:
    general = cfg.general_cfg
    limits = {"env steps": general.env_step_limit, "episodes": general.max_episode}
    if cfg.offline and general.mode == "train":
        limits = {"updates": general.update_limit}
    return " or ".join(f"{n:,} {unit}" for unit, n in limits.items() if n > 0) or "without a limit"


class _Line(ProgressColumn):
    """A bar, the count, the time left and elapsed, and as many other values as fit."""

    def __init__(self, unit: str):
        self.unit, self.remaining = unit, TimeRemainingColumn()
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Table:
        count = f"{task.completed:,.0f}" + (f"/{task.total:,.0f}" if task.total else "") + f" {self.unit}"
        left = f"{str(self.remaining.render(task)).strip()} left" if task.total else ""
        gone = f"{datetime.timedelta(seconds=int(task.elapsed or 0))}"
        free = console.width - LEAST_BAR
        words: list[str] = []
        for word in [count, left, *task.fields["words"], gone]:
            if word and free >= len(word) + 2:
                words.append(word)
                free -= len(word) + 2
        width = min(MOST_BAR, LEAST_BAR + max(free, 0))
        line = Table.grid(Column(width=width), Column(no_wrap=True))
        bar = ProgressBar(task.total, task.completed, width=width, pulse=task.total is None)
        line.add_row(bar, "  " + "  ".join(words))
        return line


class ProgressReport:
    """Shows reward, length, epsilon or entropy, speed and time left. `kind`: auto, bar, lines or off."""

    def __init__(self, kind: str, total: int | None, unit: str, done: int = 0, env_step: int = 0):
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self.kind = ("bar" if on_terminal else "lines") if kind == "auto" else kind
        self.total, self.unit = total, unit
        self.period = BAR_SECONDS if self.kind == "bar" else LINE_SECONDS
        self.last = self.started = time.monotonic()
        self.first = done
        self.env_step = env_step  # at the last look
        self.bar: Progress | None = None
        if self.kind == "bar":
            self.bar = Progress(_Line(unit), console=console)
            self.task = self.bar.add_task("", total=total, completed=done, words=[])
            self.bar.start()

    def due(self) -> bool:
        """Whether the next report is due."""
        return self.kind != "off" and time.monotonic() - self.last >= self.period

    def show(self, done: int, env_step: int, values: dict[str, Any]) -> None:
        """Refresh the bar, or print a line; `env_step`: updates where the unit is updates."""
        now = time.monotonic()
        words = [f"{name} {value:,.4g}" for name, value in values.items()]
        rate_unit = "updates" if self.unit == "updates" else "steps"
        words.append(f"{(env_step - self.env_step) / max(now - self.last, 1e-9):,.0f} {rate_unit}/s")
        self.last, self.env_step = now, env_step
        if self.bar is not None:
            self.bar.update(self.task, completed=done, words=words)
        elif self.kind == "lines":
            rate = (done - self.first) / max(now - self.started, 1e-9)
            if self.total and rate > 0:
                words.append(f"{(self.total - done) / rate:,.0f} s left")
            log.info("%s %s  %s", rate_unit[:-1], f"{env_step:,}", "  ".join(words))

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()

"""The recorder: writes tables and metrics during a run, and cuts them back when it is resumed."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from algos.common.errors import UserError
from algos.common.forms import by_name, count, flag, listed, mapping, number, record, text
from framework.data.guard import check_losses
from framework.data.tally import Episode, Recent, Sums
from framework.data.told.interventions import told_means
from framework.runs.loggers import make_logger
from framework.runs.run_folder import RunFolder
from framework.runs.table import Table
from framework.training.evaluator import Evaluation

EPISODES = ("episode", "env_step", "update_step", "wall_time", "reward", "length")
INTERVENED = "intervened"  # the column of the steps in which not the policy acted, from the first such episode on
EVALUATIONS = (
    "update_step", "env_step", "wall_time", "episodes", "mean_reward", "std_reward", "min_reward", "max_reward",
)  # fmt: skip

_TABLE = record(columns=listed(text), rows=count)
FORM = record(  # of `state_dict`; older versions had the files' sizes, and lack some
    optional=("tables", "sizes", "told", "told_steps", "recent_of", "interventions"),
    tables=by_name(_TABLE),
    sizes=by_name(count),
    loggers=by_name(mapping),
    pending=listed(by_name(number)),
    last_row=listed(count, count),
    recent=listed(listed(number, number)),
    recent_of=by_name(listed(number)),
    interventions=record(shares=listed(listed(count, count)), own=listed(count), seen=flag),
    told=by_name(listed(number, number)),
    told_steps=count,
    latest=by_name(number),
    wall_time=number,
)


class Recorder:
    """Writes episodes, updates and evaluations to CSV and to the loggers; metrics wait for their row as they are."""

    def __init__(self, folder: RunFolder, loggers: list[str], log_interval: int, state: dict[str, Any] | None = None):
        """`log_interval`: updates between two rows; 0: rows are written by `flush` alone."""
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
        self.recent = Recent(state)
        self.told = dict(state.get("told", {})) if state else {}  # sums and counts of what environments told since
        self.told_steps = int(state.get("told_steps", 0)) if state else 0  # env steps since
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
        self.recent.add(episode)
        row = (number, episode.env_step, update_step, f"{self.wall_time():.3f}", episode.reward, episode.length)
        told = episode.told()
        if episode.intervened or INTERVENED in self.episodes.columns:
            told[INTERVENED] = episode.intervened
        if not told and len(self.episodes.columns) == len(EPISODES):
            self.episodes.append(row)
        else:
            self.episodes.append_named(dict(zip(EPISODES, row, strict=True)) | told)

    def environments(self, metrics: Sums, env_steps: int) -> None:
        """What environments told of themselves during a rollout of so many steps: it goes into the next row."""
        self.told_steps += env_steps
        for name, (total, more) in metrics.items():
            before, n = self.told.get(name, (0.0, 0))
            self.told[name] = (before + total, n + more)

    def update(self, metrics: Mapping[str, Tensor | float], update_step: int, env_step: int) -> None:
        """An update was made; its metrics go into the mean of the next row, under any names.

        Raises UserError for a loss that is not finite.
        """
        check_losses(metrics, update_step)
        self.pending.append(metrics)
        if self.log_interval and update_step // self.log_interval > self.last_row[0] // self.log_interval:
            self._write_updates(update_step, env_step)

    def flush(self, update_step: int, env_step: int) -> None:
        """Write a row of the updates since the last one, if there are any."""
        if self.pending:
            self._write_updates(update_step, env_step)

    def _write_updates(self, update_step: int, env_step: int) -> None:
        interventions = self.recent.interventions.means()
        self.latest = means_of(self.pending) | told_means(self.told, self.told_steps) | interventions
        check_losses(self.latest, update_step)  # those that were tensors until now
        wall_time = self.wall_time()
        row = {"update_step": update_step, "env_step": env_step, "wall_time": f"{wall_time:.3f}", **self.latest}
        self.updates.append_named(row)
        elapsed = max(wall_time - self.row_time, 1e-9)
        rates = {
            "time/env_steps_per_second": (env_step - self.last_row[1]) / elapsed,
            "time/updates_per_second": (update_step - self.last_row[0]) / elapsed,
        }
        self._log(self.latest | rates | self.recent_means(), env_step or update_step)
        self.pending, self.last_row, self.row_time = [], (update_step, env_step), wall_time
        self.told, self.told_steps = {}, 0

    def recent_means(self) -> dict[str, float]:
        """Means of the last training episodes: reward, length, and what environments told; empty before the first."""
        return self.recent.means()

    def entropy(self) -> dict[str, float]:
        """The policy's entropy in the last row of updates, under `entropy`; empty if an algorithm tells none."""
        if "train/entropy" in self.latest:
            return {"entropy": self.latest["train/entropy"]}
        loss = self.latest.get("train/entropy_loss")
        return {} if loss is None else {"entropy": -loss}

    def evaluation(
        self, result: Evaluation, update_step: int, env_step: int, more: Mapping[str, float] | None = None
    ) -> None:
        """An evaluation was made; `more` columns go beside its own."""
        beside = {**result.told, **(more or {})}
        values = (result.mean, result.std, min(result.rewards), max(result.rewards))
        episodes = len(result.rewards)
        row = (update_step, env_step, f"{self.wall_time():.3f}", episodes, *values)
        self.evaluations.append_named(dict(zip(EVALUATIONS, row, strict=True)) | beside)
        told = dict(zip(EVALUATIONS[4:], values, strict=True)) | beside
        self._log({f"eval/{name}": value for name, value in told.items()}, env_step or update_step)

    def _log(self, scalars: Mapping[str, float], clock: int) -> None:
        """To the loggers, at the env step; at the update of an offline run, which has no other clock."""
        for logger in self.loggers.values():
            logger.scalars(scalars, clock)

    def state_dict(self) -> dict[str, Any]:
        """How far the files go, so that rows written after this moment can be cut off, and what is not yet written."""
        tables = {"episodes": self.episodes, "updates": self.updates, "eval": self.evaluations}
        return {
            "tables": {name: table.state_dict() for name, table in tables.items()},
            "loggers": {name: logger.state_dict() for name, logger in self.loggers.items()},
            "pending": [{name: float(value) for name, value in metrics.items()} for metrics in self.pending],
            "last_row": list(self.last_row),
            **self.recent.state_dict(),
            "told": {name: list(sums) for name, sums in self.told.items()},
            "told_steps": self.told_steps,
            "latest": self.latest,
            "wall_time": self.wall_time(),
        }

    def close(self) -> None:
        """Close all files."""
        for table in (self.episodes, self.updates, self.evaluations):
            with suppress(UserError):  # was told when a row was written
                table.bring_back()
            table.file.close()
        for logger in self.loggers.values():
            logger.close()


def means_of(rows: Sequence[Mapping[str, Tensor | float]]) -> dict[str, float]:
    """Means of metrics over the updates that gave them."""
    if len(rows) == 1:
        return {name: float(value) for name, value in rows[0].items()}
    names = dict.fromkeys(name for metrics in rows for name in metrics)
    return {name: mean_of([metrics[name] for metrics in rows if name in metrics]) for name in names}


def mean_of(values: list[Tensor | float]) -> float:
    """Mean of metrics with one transfer from the device; exact summation, so that a resumed run gets the same."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    numbers = [value for value in values if not isinstance(value, Tensor)]
    if tensors:
        numbers += torch.stack(tensors).tolist()
    return math.fsum(numbers) / len(numbers)

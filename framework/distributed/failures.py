"""Failing processes: the cause in plain words, the table of failures, and the limit per run."""

import logging
import re
from pathlib import Path

from algos.common.errors import Outage, UserError
from framework.runs.table import Table
from framework.training.counters import Counters
from framework.training.recorder import Recorder

log = logging.getLogger("joyride")
FAILURES = ("wall_time", "env_step", "update_step", "part", "cause", "action")
THE_END = "the run ends"

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)$')
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python3", "<frozen", "<string>")
_OURS = ("framework/distributed/actors.py",)


class PartLost(Exception):
    """A part has died without which the run must go back to a checkpoint; `part` and `cause` say which and why."""

    def __init__(self, part: str, cause: str):
        super().__init__(f"{part}: {cause}")
        self.part, self.cause = part, cause


class PartFailed(RuntimeError):
    """A learner, server or evaluator raised: a programming error, told with the line of the failing code."""


class RayLost(Outage):
    """Ray itself is gone: nothing can be replaced. `joined`: on a cluster that the run has not started."""

    def __init__(self, cause: str, joined: bool = False):
        super().__init__(f"Ray has failed: {cause}")
        self.cause, self.mended_by_resuming = cause, not joined


class CallFailed(Exception):
    """A call to another process has no answer: it died, hangs, or raised (`traceback`); `cause` says it in a line.

    `lost_input`: it had no chance, what it was given died with yet another process.
    """

    def __init__(self, cause: str, traceback: str = "", lost_input: bool = False):
        super().__init__(cause)
        self.cause, self.traceback, self.lost_input = cause, traceback, lost_input

    def raise_if_hopeless(self, part: str, startup: bool = False) -> None:
        """Raise what no restart mends, an exception: a UserError in its own words, others with their line.

        Before anything was done (`startup`) any exception is told like a mistake of the user's.
        """
        if not self.traceback:
            return
        words = user_error_in(self.traceback)
        if words is not None:
            raise UserError(words) from None
        if startup:
            raise UserError(f"{part} failed before its first rollout: {self.cause}") from None
        log.error("%s failed:\n%s", part, user_frames(self.traceback))
        raise PartFailed(f"{part}: {self.cause}") from None


class FailureLog:
    """Counts failures against the run's limit, and writes each to results/faults.csv and to the log."""

    def __init__(self, results: Path, limit: int, counters: Counters, recorder: Recorder):
        self.path, self.limit = results / "faults.csv", limit
        self.counters, self.recorder = counters, recorder  # when it was
        self.restarts = 0
        self.table: Table | None = None

    def add(self, part: str, cause: str, action: str) -> None:
        """A failure; raises Outage, with the cause, where there were too many."""
        over = self.restarts >= self.limit
        done = THE_END if over else action
        self._write(part, cause, done)
        if over:
            raise Outage(
                f"{part} failed: {cause}; this is failure {self.restarts + 1} of this run, and"
                f" general_cfg.max_worker_restarts={self.limit}"
            )
        self.restarts += 1
        log.warning("%s failed: %s; %s (restart %d of %d)", part, cause, done, self.restarts, self.limit)

    def last(self, part: str, cause: str) -> None:
        """The failure that ends the run."""
        self._write(part, cause, THE_END)

    def _write(self, part: str, cause: str, done: str) -> None:
        if self.table is None:  # a run without failures has no such file
            self.table = Table(self.path, FAILURES)
        when = (f"{self.recorder.wall_time():.3f}", self.counters.env_step, self.counters.update_step)
        self.table.append((*when, part, cause, done))

    def close(self) -> None:
        """Close the file."""
        if self.table is not None:
            self.table.file.close()


def cause_in(traceback: str) -> str:
    """The error of a traceback's text in one line: type, message, and the user's line where it was raised."""
    lines = _COLOUR.sub("", traceback).strip().splitlines()
    where = ""
    for number, line in enumerate(lines):
        match = _FRAME.match(line)
        if match and not any(name in match["file"] for name in (*_LIBRARIES, *_OURS)):
            code = lines[number + 1].strip() if number + 1 < len(lines) else ""
            where = f"{match['file']}:{match['line']} in {match['function']}: {code}"
    error = _error_line(lines)
    kind, colon, text = error.partition(":")
    error = f"{kind.rpartition('.')[2]}{colon}{text}".rstrip(": ")
    notes = "".join(f"; {line}" for line in lines if line.startswith("raised by environment "))
    error += notes
    return f"{error} ({where})" if where else error


def _error_line(lines: list[str]) -> str:
    """The first line of the error that a traceback ends with: what follows its last frame, not indented."""
    last = max((number for number, line in enumerate(lines) if _FRAME.match(line)), default=-1)
    following = [line for line in lines[last + 1 :] if line and not line.startswith(" ")]
    if last < 0:
        following.reverse()
    return following[0].strip() if following else "unknown error"


def user_error_in(traceback: str) -> str | None:
    """The words of the UserError that a traceback ends with, if it does."""
    kind, _, words = _error_line(_COLOUR.sub("", traceback).strip().splitlines()).partition(": ")
    return words if kind.rpartition(".")[2] == "UserError" else None


def user_frames(traceback: str) -> str:
    """A traceback's text without the frames of libraries."""
    kept, keep = [], True
    for line in _COLOUR.sub("", traceback).splitlines():
        match = _FRAME.match(line)
        if match:
            keep = not any(name in match["file"] for name in (*_LIBRARIES, *_OURS))
        elif not line.startswith(" "):
            keep = True
        if keep and not line.startswith("ray::"):
            kept.append(line)
    return "\n".join(kept)

"""The status of each job of a sweep: one small file per job, shared between processes."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from framework.runs.files import atomic_write

FOLDER = ".status"  # in the sweep's folder; a resumed sweep reads there what is done
DONE, FAILED, INTERRUPTED, NOT_STARTED, RUNNING = "done", "failed", "interrupted", "not started", "running"


@dataclass
class Status:
    """The status of a job."""

    state: str = NOT_STARTED
    exit_code: int = 0
    users_mistake: bool = False  # it failed before it did anything, for a reason that the user can mend
    pid: int = 0
    started: float = 0.0
    ended: float = 0.0
    earlier: float = 0.0  # seconds that it ran before it was resumed

    @property
    def wall_time(self) -> float:
        """Seconds that the job ran."""
        return self.earlier + max(0.0, self.ended - self.started)


class StatusFiles:
    """The status files of a sweep."""

    def __init__(self, sweep: Path) -> None:
        self.folder = sweep / FOLDER
        self._stop = self.folder / "stop"

    def start(self, job: int, trained: float = 0.0) -> Status:
        """Note that a job runs in this process; the status to be handed to `end`.

        `trained`: seconds that its tables tell of, where it was begun before and killed.
        """
        earlier = max(self._read(job).wall_time, trained)
        status = Status(state=RUNNING, pid=os.getpid(), started=time.time(), earlier=earlier)
        self._write(job, status)
        return status

    def end(self, job: int, status: Status, state: str, exit_code: int = 0, users_mistake: bool = False) -> None:
        """Note how a job ended."""
        status.state, status.exit_code, status.users_mistake = state, exit_code, users_mistake
        status.ended = time.time()
        self._write(job, status)

    def read(self, n_jobs: int) -> list[Status]:
        """The status of every job; of one whose process died, `running` it stays."""
        return [self._read(job) for job in range(n_jobs)]

    def start_anew(self) -> None:
        """Allow jobs to start again when the sweep is resumed."""
        self._stop.unlink(missing_ok=True)

    def stop(self, exit_code: int) -> None:
        """Prevent further jobs from starting when the sweep is interrupted."""
        atomic_write(self._stop, str(exit_code).encode())

    def stop_code(self) -> int:
        """The exit code of an interrupted sweep, else 0."""
        return int(self._stop.read_text(encoding="utf-8")) if self._stop.exists() else 0

    def _read(self, job: int) -> Status:
        path = self.folder / f"{job}.json"
        return Status(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else Status()

    def _write(self, job: int, status: Status) -> None:
        atomic_write(self.folder / f"{job}.json", json.dumps(asdict(status)).encode())

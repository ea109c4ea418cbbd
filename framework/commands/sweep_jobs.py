"""The jobs of a sweep, run through Hydra's launcher: one after the other in this process, or in parallel in others
(hydra/launcher=joblib). A failed job does not stop the others; an interrupt stops all. Where the process of a job dies,
joblib ends those beside it: the jobs not begun get new processes, then those that had begun go on, one at a time.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from algos.common.errors import UserError, first_line
from framework.commands.line_prefix import lasting_stdout, prefixed
from framework.commands.sweep_status import DONE, FAILED, INTERRUPTED, NOT_STARTED, RUNNING, Status, StatusFiles
from framework.reports.tables import training_seconds
from framework.runs.files import atomic_write
from framework.runs.parent import end_with
from framework.settings.hydra_private import Hydra, HydraConfig, launcher_of
from framework.settings.hydra_session import CONFIG_NAME
from framework.settings.prepare import Job, to_config

INTERRUPTED_CODES = (130, 143)


@dataclass
class Sweep:
    """What a job needs to know about its sweep; it is sent to other processes."""

    folder: Path
    names: list[str]  # of the jobs' folders
    labels: list[str]  # the swept overrides of each job
    work: str = "run"  # the function of framework.commands.modes that does a job
    alike: bool = False  # the jobs differ by their seed alone: what the user got wrong in one is wrong in all
    numbers: list[int] | None = None  # of the jobs that are launched; None: all
    pid: int = field(default_factory=os.getpid)  # of the process that launches them

    @property
    def status(self) -> StatusFiles:
        """The jobs' status files."""
        return StatusFiles(self.folder)


def run_jobs(hydra: Hydra, sweep: Sweep, jobs: Sequence[Job], again: Callable[[int], Job]) -> tuple[list[Status], int]:
    """Run the jobs; returns their statuses, and the exit code if they were stopped early, else 0.

    `again` gives the job of a number as it goes on after its process has died.
    """
    sweep.status.start_anew()
    numbers = range(len(sweep.names)) if sweep.numbers is None else sweep.numbers
    waiting, begun = dict(zip(numbers, jobs, strict=True)), list[int]()
    try:
        while waiting:
            lost = _lost(hydra, sweep, waiting)
            begun += lost if len(lost) > 1 else []  # of one alone it is clear which one it was
            states = sweep.status.read(len(sweep.names))
            waiting = {n: job for n, job in waiting.items() if lost and states[n].state == NOT_STARTED}
        for number in begun:
            _told(sweep, number, "goes on by itself: its process died, or that of a job beside it")
            _lost(hydra, sweep, {number: again(number)})
    except KeyboardInterrupt:  # between two jobs
        sweep.status.stop(130)
    for number, status in enumerate(sweep.status.read(len(sweep.names))):
        if status.state == RUNNING:
            _told(sweep, number, "failed: its process died")
            sweep.status.end(number, status, FAILED, 1)
    return sweep.status.read(len(sweep.names)), sweep.status.stop_code()


def _lost(hydra: Hydra, sweep: Sweep, jobs: Mapping[int, Job]) -> list[int]:
    """Run jobs by their numbers; those that had begun when a process died with which the launcher gave up."""
    try:
        launch(hydra, replace(sweep, numbers=[*jobs]), [*jobs.values()])
    except Exception as error:
        atomic_write(sweep.folder / "error.txt", traceback.format_exc().encode())
        states = sweep.status.read(len(sweep.names))
        lost = [number for number in jobs if states[number].state == RUNNING]
        if not lost:  # no job's fault
            print(f"the sweep stopped: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return [] if sweep.status.stop_code() else lost
    return []


def _told(sweep: Sweep, number: int, what: str) -> None:
    print(f"job {number} ({sweep.labels[number]}) {what}", file=sys.stderr, flush=True)


def launch(hydra: Hydra, sweep: Sweep, jobs: Sequence[Job]) -> None:
    """Run the jobs through the launcher of Hydra that the user chose."""
    settings = jobs[0].hydra_overrides
    launcher, here = launcher_of(hydra, CONFIG_NAME, settings, partial(run_job, sweep))
    with nullcontext() if here else _signals_stop(sweep):
        launcher.launch([job.overrides for job in jobs], initial_job_idx=0)


def run_job(sweep: Sweep, composed: DictConfig) -> None:
    """Run one job, report its error at once, record how it ended."""
    launched = int(HydraConfig.get().job.num)
    number = launched if sweep.numbers is None else sweep.numbers[launched]
    if os.getppid() == sweep.pid:
        end_with(sweep.pid)
    with lasting_stdout(), nullcontext() if os.getpid() == sweep.pid else prefixed(f"[{number}] "):
        _run_job(sweep, composed, number)


def _run_job(sweep: Sweep, composed: DictConfig, number: int) -> None:
    if sweep.status.stop_code():
        return
    run = sweep.folder / sweep.names[number]
    status = sweep.status.start(number, training_seconds(run))
    name = f"job {number} ({sweep.labels[number]})" if sweep.labels[number] else f"job {number}"
    print(f"{name} of {len(sweep.names)} jobs", flush=True)
    try:
        from framework.commands import modes  # torch is imported here, not before

        config = to_config(composed)
        code = getattr(modes, sweep.work)(config, hydra_cfg=HydraConfig.get(), run_dir=run) or 0
    except UserError as error:
        print(f"{name} failed: {error}", file=sys.stderr, flush=True)
        sweep.status.end(number, status, FAILED, 2, users_mistake=True)
        if sweep.alike:
            sweep.status.stop(2)
    except KeyboardInterrupt:
        sweep.status.end(number, status, INTERRUPTED, 130)
        sweep.status.stop(130)
    except (Exception, SystemExit) as error:  # code of the user's that calls exit() ends its own job alone
        place = _write_traceback(sweep, number)
        print(f"{name} failed: {type(error).__name__}: {error} (see {place})", file=sys.stderr, flush=True)
        sweep.status.end(number, status, FAILED, 1)
    else:
        state = INTERRUPTED if code in INTERRUPTED_CODES else FAILED if code else DONE
        sweep.status.end(number, status, state, code)
        if state == INTERRUPTED:
            sweep.status.stop(code)


def errors_of(sweep: Sweep, number: int) -> list[Path]:
    """Where the traceback of a failed job may lie."""
    return [sweep.folder / sweep.names[number] / "error.txt", sweep.folder / f"{number}_error.txt"]


def _write_traceback(sweep: Sweep, number: int) -> Path:
    inside, beside = errors_of(sweep, number)
    place = inside if inside.parent.is_dir() else beside
    atomic_write(place, traceback.format_exc().encode())
    return place


@contextmanager
def _signals_stop(sweep: Sweep) -> Iterator[None]:
    """While jobs run in other processes, an interrupt lets them write their checkpoints, and no further job start."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        sweep.status.stop(128 + number)
        running = [status.pid for status in sweep.status.read(len(sweep.names)) if status.state == RUNNING]
        for pid in running if number == signal.SIGTERM else []:  # Ctrl-C reaches them by itself
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

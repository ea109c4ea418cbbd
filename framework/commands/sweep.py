"""Sweeps (-m): every combination of the given values is a job with a run folder of its own; then a table and a figure.

Jobs run through Hydra's launcher, one after the other or (hydra/launcher=joblib) side by side in other processes.
"""

import itertools
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from algos.common.errors import UserError, first_line
from framework.commands.sweep_report import Row, write_curves, write_summary
from framework.commands.sweep_status import DONE, FAILED, INTERRUPTED, RUNNING, Status, StatusFiles
from framework.runs.run_folder import atomic_write, safe_name, writing
from framework.settings.hydra_private import Hydra, HydraConfig, Override, launcher_of
from framework.settings.hydra_session import CONFIG_NAME, parse_overrides
from framework.settings.prepare import Job, prepare, to_config
from framework.settings.yaml_file import YamlFile

INTERRUPTED_CODES = (130, 143)
MAX_NAME = 80


@dataclass
class Sweep:
    """What a job needs to know of its sweep; it travels to other processes."""

    folder: Path
    names: list[str]  # of the jobs' folders
    labels: list[str]  # the swept overrides of each job
    work: str = "run"  # the function of framework.commands.modes that does a job
    alike: bool = False  # the jobs differ by their seed alone: what the user got wrong in one is wrong in all

    @property
    def status(self) -> StatusFiles:
        """The jobs' status files."""
        return StatusFiles(self.folder)


def run_sweep(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> int:
    """Run all combinations of the given values; the exit code: 0, 1 if a job failed, 2 if none could start.

    Raises UserError, with nothing left behind, where a job's configuration is wrong.
    """
    overrides, labels = expand(hydra, texts)
    jobs = [_prepare(hydra, job, yaml_file, n, labels[n]) for n, job in enumerate(overrides)]
    tasks = Path(jobs[0].config.general_cfg.tasks_dir)
    is_new = not tasks.exists()
    sweep = Sweep(make_folder(tasks, jobs, "Sweep"), folder_names(labels), labels)
    code = _finish(sweep, *run_jobs(hydra, sweep, jobs))
    if is_new and code == 2:
        with suppress(OSError):
            tasks.rmdir()
    return code


def run_jobs(hydra: Hydra, sweep: Sweep, jobs: Sequence[Job]) -> tuple[list[Status], int]:
    """Run the jobs: how each of them ended, and the exit code if they were stopped before all had run, else 0."""
    try:
        launch(hydra, sweep, jobs)
    except KeyboardInterrupt:  # between two jobs
        sweep.status.stop(130)
    except Exception as error:  # a job's process died, say: which one is told below
        print(f"the sweep stopped: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        atomic_write(sweep.folder / "error.txt", traceback.format_exc().encode())
    statuses, stop_code = sweep.status.read(len(sweep.names)), sweep.status.stop_code()
    for number, status in enumerate(statuses):
        if status.state == RUNNING:
            print(f"job {number} ({sweep.labels[number]}) failed: its process died", file=sys.stderr)
            status.state, status.exit_code = FAILED, 1
    shutil.rmtree(sweep.status.folder, ignore_errors=True)
    return statuses, stop_code


def expand(hydra: Hydra, texts: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The overrides of every job, and what of them is swept, in short.

    Raises UserError for what cannot be swept.
    """
    parsed = {override.get_key_element(): override for override in parse_overrides(hydra, texts)}
    choices = [_values(override) for override in parsed.values()]
    swept = [override.is_sweep_override() for override in parsed.values()]
    jobs = [list(job) for job in itertools.product(*choices)]
    keys = [override.key_or_group for override, several in zip(parsed.values(), swept, strict=True) if several]
    short = [key.rpartition(".")[2] for key in keys]
    labels = []
    for job in jobs:
        words = [word for word, several in zip(job, swept, strict=True) if several]
        values = [word.partition("=")[2] for word in words]
        names = [last if short.count(last) == 1 else key for last, key in zip(short, keys, strict=True)]
        labels.append(",".join(f"{name}={value}" for name, value in zip(names, values, strict=True)))
    return jobs, labels


def folder_names(labels: Sequence[str]) -> list[str]:
    """The names of the jobs' folders: number and overrides, safe and short."""
    safe = [re.sub(r"[^A-Za-z0-9.=+_-]+", "-", label.replace(",", "_")) for label in labels]
    return [f"{n}_{label}"[:MAX_NAME].rstrip("_-.=") for n, label in enumerate(safe)]


def launch(hydra: Hydra, sweep: Sweep, jobs: Sequence[Job]) -> None:
    """Run the jobs through the launcher of Hydra that the user chose."""
    launcher, here = launcher_of(hydra, CONFIG_NAME, jobs[0].hydra_overrides, partial(run_job, sweep))
    with nullcontext() if here else _signals_stop(sweep):
        launcher.launch([job.overrides for job in jobs], initial_job_idx=0)


def run_job(sweep: Sweep, composed: DictConfig) -> None:
    """Run one job, tell its error at once, note how it ended; so no job ends another, but by being interrupted."""
    number = int(HydraConfig.get().job.num)
    if sweep.status.stop_code():
        return
    status = sweep.status.start(number)
    name = f"job {number} ({sweep.labels[number]})" if sweep.labels[number] else f"job {number}"
    print(f"{name} of {len(sweep.names)} jobs", flush=True)
    try:
        from framework.commands import modes  # torch is imported here, not before

        config = to_config(composed)
        work = getattr(modes, sweep.work)
        code = work(config, hydra_cfg=HydraConfig.get(), run_dir=sweep.folder / sweep.names[number]) or 0
    except UserError as error:
        print(f"{name} failed: {error}", file=sys.stderr, flush=True)
        sweep.status.end(number, status, FAILED, 2, users_mistake=True)
        if sweep.alike:
            sweep.status.stop(2)
    except KeyboardInterrupt:
        sweep.status.end(number, status, INTERRUPTED, 130)
        sweep.status.stop(130)
    except Exception as error:
        place = _write_traceback(sweep, number)
        print(f"{name} failed: {type(error).__name__}: {error} (see {place})", file=sys.stderr, flush=True)
        sweep.status.end(number, status, FAILED, 1)
    else:
        state = INTERRUPTED if code in INTERRUPTED_CODES else FAILED if code else DONE
        sweep.status.end(number, status, state, code)
        if state == INTERRUPTED:
            sweep.status.stop(code)


def _prepare(hydra: Hydra, texts: list[str], yaml_file: YamlFile | None, number: int, label: str) -> Job:
    try:
        job = prepare(hydra, texts, yaml_file, tag=str(number))
        if job.config.general_cfg.resume:
            raise UserError("resume goes on in the run's own folder, it cannot be swept; leave out -m")
        if job.config.general_cfg.mode == "verify":
            raise UserError("mode=verify runs its seeds by itself, of one preset at a time; leave out -m")
        return job
    except UserError as error:
        raise UserError(f"{error} (job {number}: {label})" if label else str(error)) from error


def _values(override: Override) -> list[str]:
    """The words that stand for an override in the jobs."""
    line = str(override.input_line)
    if override.key_or_group.startswith(("hydra/sweeper", "hydra.sweeper")):
        raise UserError(f"{line}: sweeps are expanded by Joyride itself, another sweeper is not supported")
    if not override.is_sweep_override():
        return [line]
    if override.is_hydra_override():
        raise UserError(f"{line}: Hydra's own settings cannot be swept")
    if not override.is_discrete_sweep():
        raise UserError(f"{line}: give the values one by one, or as range(<start>,<stop>,<step>)")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def make_folder(tasks: Path, jobs: Sequence[Job], word: str) -> Path:
    """Make `<word>_<env>_<ALGO>_<time>[-n]/`, a new one; UserError where it cannot be made."""
    envs = dict.fromkeys(job.config.env_cfg.id for job in jobs)
    algos = dict.fromkeys(job.config.general_cfg.algo_name.rpartition(":")[2] for job in jobs)
    stem = f"{word}_{safe_name('+'.join(envs))}_{safe_name('+'.join(algos))}_{time.strftime('%Y%m%d-%H%M%S')}"
    with writing(tasks, "; choose another folder with general_cfg.tasks_dir=<folder>"):
        tasks.mkdir(parents=True, exist_ok=True)
        for n in itertools.count():
            folder = tasks / (f"{stem}-{n}" if n else stem)
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise AssertionError("unreachable")


def _write_traceback(sweep: Sweep, number: int) -> Path:
    run = sweep.folder / sweep.names[number]
    place = run / "error.txt" if run.is_dir() else sweep.folder / f"{number}_error.txt"
    atomic_write(place, traceback.format_exc().encode())
    return place


def _finish(sweep: Sweep, statuses: Sequence[Status], stop_code: int) -> int:
    """Write the table and the figure, say where they are; the exit code of the sweep."""
    if all(status.users_mistake for status in statuses) and not any(sweep.folder.iterdir()):
        sweep.folder.rmdir()  # not one could start: nothing is left behind
        return 2
    rows = _rows(sweep, statuses)
    summary, curves = write_summary(sweep.folder, rows), write_curves(sweep.folder, rows)
    done = sum(status.state == DONE for status in statuses)
    print(f"{done} of {len(rows)} jobs done; {summary}" + (f", {curves.name}" if curves else ""))
    return stop_code or int(done < len(rows))


def _rows(sweep: Sweep, statuses: Sequence[Status]) -> list[Row]:
    jobs = zip(sweep.names, sweep.labels, statuses, strict=True)
    return [Row(name, label, status.wall_time, status.state) for name, label, status in jobs]


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

"""resume=<sweep>: runs the missing jobs, keeps the finished ones, then makes tables and figure for all."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from algos.common.errors import UserError
from framework.commands.sweep import finish
from framework.commands.sweep_jobs import Sweep, errors_of, run_jobs
from framework.commands.sweep_record import Record, key_of, refuse_strangers, resumed_job
from framework.commands.sweep_status import DONE, FAILED, INTERRUPTED, NOT_STARTED, RUNNING, Status
from framework.runs.run_folder import RunFolder
from framework.runs.run_search import SWEEP_RECORD
from framework.settings.command import setting_word
from framework.settings.effects import effect_of
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import parse_overrides
from framework.settings.prepare import prepare
from framework.settings.schema import GeneralConfig
from framework.settings.yaml_file import YamlFile

PATIENCE = 10.0  # seconds that a killed sweep's jobs have to end with it


def sweep_to_resume(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> Path | None:
    """The sweep that `resume` names, if it names one; UserError for settings that cannot go with it."""
    given = {override.key_or_group.removeprefix("general_cfg."): override for override in parse_overrides(hydra, texts)}
    in_file = yaml_file.section("general_cfg") if yaml_file is not None else {}
    text = given["resume"].value() if "resume" in given else in_file.get("resume")
    if not text or not isinstance(text, str):
        return None
    tasks = Path(_tasks_dir(hydra, texts, in_file))
    folder = _latest(tasks) if text == "latest" else _named(text, tasks)
    if folder is None:
        return None
    refuse_strangers(hydra, folder, trust="trust" in given and given["trust"].value() is True)
    others = [str(override.input_line) for key, override in given.items() if not _may_go_along(key)]
    if others and text == "latest" and _all_done(folder):
        return None  # of a sweep that is done, the last run may go further
    if others or yaml_file is not None:
        what = others[0].partition("=")[0] if others else "--yaml"
        run = setting_word("resume", folder / Record.read(folder).jobs[0].name)
        raise UserError(
            f"{what} cannot be set while resuming {folder}: its jobs keep their settings; leave it out, or resume a"
            f" single run such as {run}"
        )
    return folder


def resume_sweep(hydra: Hydra, folder: Path, texts: Sequence[str]) -> int:
    """Run the jobs of a sweep that are not done; the exit code: 0, 1 if a job failed, 130 or 143 when interrupted.

    UserError if the sweep still runs in another process.
    """
    record, lock = Record.read(folder), RunFolder(folder)
    lock.acquire_lock()
    try:
        sweep = Sweep(folder, [job.name for job in record.jobs], [job.label for job in record.jobs])
        statuses = _settled(sweep)
        sweep.numbers = [number for number, status in enumerate(statuses) if status.state != DONE]
        print(f"resuming {folder}: {_plan(statuses)}", flush=True)
        if not sweep.numbers:
            return finish(folder, record, statuses, 0)
        own = [text for text in texts if key_of(text) not in ("resume", "tasks_dir")]
        again = partial(resumed_job, hydra, folder, record, own=own)
        jobs = [again(number) for number in sweep.numbers]
        for place in (folder / "error.txt", *(place for number in sweep.numbers for place in errors_of(sweep, number))):
            place.unlink(missing_ok=True)
        return finish(folder, record, *run_jobs(hydra, sweep, jobs, again))
    finally:
        lock.release_lock()


def _settled(sweep: Sweep) -> list[Status]:
    """The statuses of the jobs, once those of a killed sweep have ended."""
    end = time.monotonic() + PATIENCE
    while any(status.state == RUNNING and _lives(status.pid) for status in sweep.status.read(len(sweep.names))):
        if time.monotonic() > end:
            break  # the number is another process's by now, or the job's own lock tells
        time.sleep(0.1)
    statuses = sweep.status.read(len(sweep.names))
    for number, status in enumerate(statuses):
        run = sweep.folder / sweep.names[number]
        if status.state == DONE:
            continue
        if (run / "results" / "test.csv").exists():  # written as a whole, and last
            sweep.status.end(number, status, DONE)
        elif status.state == RUNNING:
            status.state = INTERRUPTED
    return statuses


def _plan(statuses: Sequence[Status]) -> str:
    states = [status.state for status in statuses]
    words = {INTERRUPTED: " (resumed from their checkpoints)", NOT_STARTED: "", FAILED: " (tried again)"}
    parts = [f"{states.count(state)} {state}{what}" for state, what in words.items() if state in states]
    done = f"{states.count(DONE)} of {len(states)} jobs are done"
    return f"{done}; to run: {', '.join(parts)}" if parts else done


def _tasks_dir(hydra: Hydra, texts: Sequence[str], in_file: dict[str, object]) -> str:
    words = [text for text in texts if key_of(text) in ("tasks_dir", "general_cfg")]
    if not words and in_file.get("tasks_dir"):
        return str(in_file["tasks_dir"])
    return prepare(hydra, words, tag="tasks").config.general_cfg.tasks_dir


def _named(text: str, tasks: Path) -> Path | None:
    places = (tasks / text, Path(text).expanduser())
    return next((place for place in places if os.path.isfile(place / SWEEP_RECORD)), None)


def _latest(tasks: Path) -> Path | None:
    """The sweep that the latest run is of, or a later one of which no run has begun."""
    last = RunFolder.latest(tasks)
    began = (last / "config.yaml").stat().st_mtime_ns if last is not None and (last / "config.yaml").exists() else 0
    records = sorted(tasks.glob(f"*/{SWEEP_RECORD}"), key=lambda path: path.stat().st_mtime_ns)
    if records and records[-1].stat().st_mtime_ns > began:
        return records[-1].parent
    return tasks / last.parent.name if last is not None and (last.parent / SWEEP_RECORD).is_file() else None


def _all_done(folder: Path) -> bool:
    jobs = Record.read(folder).jobs
    return all(status.state == DONE for status in Sweep(folder, [], []).status.read(len(jobs)))


def _may_go_along(key: str) -> bool:
    """Whether a key may be given where a sweep is resumed: Hydra's own, and what is for this call alone."""
    known = key in vars(GeneralConfig())
    return key == "resume" or key.startswith("hydra") or (known and effect_of(GeneralConfig, key) == "call")


def _lives(pid: int) -> bool:
    with suppress(OSError):
        os.kill(pid, 0)
        return pid != os.getpid()
    return False

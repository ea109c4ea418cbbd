"""Sweeps (-m): every combination of the given values is a job with its own run folder; then tables and a figure.

Everything needed to resume a sweep is written before its first job starts.
"""

import itertools
import math
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from algos.common.errors import UserError
from framework.commands.sweep_jobs import Sweep, run_jobs
from framework.commands.sweep_record import JobRecord, Record, call_words, lasting_words, resumed_job
from framework.commands.sweep_report import (
    Row,
    groups_of,
    print_settings,
    write_curves,
    write_settings,
    write_summary,
)
from framework.commands.sweep_status import DONE, Status
from framework.runs.files import writing
from framework.runs.run_folder import RunFolder, safe_name
from framework.settings.command import main_command, setting_word
from framework.settings.hydra_private import Hydra, Override
from framework.settings.hydra_session import parse_overrides
from framework.settings.prepare import Job, prepare, show_remarks
from framework.settings.yaml_file import YamlFile

MOST_JOBS = 2_000  # of a sweep: each is prepared, in some hundredths of a second, before the first begins
MAX_NAME = 80


def run_sweep(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> int:
    """Run all combinations of the given values; the exit code: 0, 1 if a job failed, 2 if none could start.

    Raises UserError, with nothing left behind, where a job's configuration is wrong.
    """
    overrides, labels, settings = expand(hydra, texts)
    jobs = [_prepare(hydra, job, yaml_file, n, labels[n]) for n, job in enumerate(overrides)]
    show_remarks(jobs)
    tasks = Path(jobs[0].config.general_cfg.tasks_dir)
    is_new = not tasks.exists()
    lock = RunFolder(make_folder(tasks, jobs, "Sweep"))
    lock.acquire_lock()
    try:
        record = _record(overrides, jobs, labels, settings)
        record.write(lock.path, yaml_file, hydra)
        sweep = Sweep(lock.path, [job.name for job in record.jobs], labels)
        again = partial(resumed_job, hydra, lock.path, record)
        statuses, stop_code = run_jobs(hydra, sweep, jobs, again)
        if all(status.users_mistake for status in statuses) and not _begun(sweep):
            shutil.rmtree(sweep.folder)  # not one could start: nothing is left behind
            if is_new:
                with suppress(OSError):
                    tasks.rmdir()
            return 2
        return finish(lock.path, record, statuses, stop_code)
    finally:
        lock.release_lock()


def expand(hydra: Hydra, texts: Sequence[str]) -> tuple[list[list[str]], list[str], list[str]]:
    """The overrides of every job, a short label of its swept values, and that label without the seed.

    Raises UserError for what cannot be swept.
    """
    parsed = {override.get_key_element(): override for override in parse_overrides(hydra, texts)}
    choices = [_values(override) for override in parsed.values()]
    swept = [override.is_sweep_override() for override in parsed.values()]
    number = math.prod(map(len, choices))
    if number > MOST_JOBS:
        raise UserError(f"-m: this makes {number:,} jobs or more, and a sweep has at most {MOST_JOBS:,}; split it")
    jobs = [list(job) for job in itertools.product(*choices)]
    keys = [override.key_or_group for override, several in zip(parsed.values(), swept, strict=True) if several]
    short = [key.rpartition(".")[2] for key in keys]
    names = [last if short.count(last) == 1 else key for last, key in zip(short, keys, strict=True)]
    seeds = [key.removeprefix("general_cfg.") == "seed" for key in keys]
    labels, settings = [], []
    for job in jobs:
        values = [word.partition("=")[2] for word, several in zip(job, swept, strict=True) if several]
        words = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
        labels.append(",".join(words))
        settings.append(", ".join(word for word, is_seed in zip(words, seeds, strict=True) if not is_seed))
    return jobs, labels, settings


def folder_names(labels: Sequence[str]) -> list[str]:
    """The names of the jobs' folders: number and overrides, safe and short."""
    safe = [re.sub(r"[^A-Za-z0-9.=+_-]+", "-", label.replace(",", "_")) for label in labels]
    return [f"{n}_{label}"[:MAX_NAME].rstrip("_-.=") for n, label in enumerate(safe)]


def make_folder(tasks: Path, jobs: Sequence[Job], word: str) -> Path:
    """Make `<word>_<env>_<ALGO>_<time>[-n]/`, a new one; UserError if it cannot be made."""
    envs, algos = (safe_name("+".join(names)) for names in _envs_and_algos(jobs))
    stem = f"{word}_{envs}_{algos}_{time.strftime('%Y%m%d-%H%M%S')}"
    with writing(tasks, "; choose another folder with general_cfg.tasks_dir=<folder>"):
        tasks.mkdir(parents=True, exist_ok=True)
        for n in itertools.count():
            folder = tasks / (f"{stem}-{n}" if n else stem)
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise AssertionError("unreachable")


def finish(folder: Path, record: Record, statuses: Sequence[Status], stop_code: int) -> int:
    """Write the tables and the figure of a sweep, say where they are; its exit code."""
    jobs = zip(record.jobs, statuses, strict=True)
    rows = [Row(job.name, job.label, status.wall_time, status.state, job.setting) for job, status in jobs]
    groups = groups_of(folder, rows, record.title)
    files = [write_summary(folder, rows), write_settings(folder, groups), write_curves(folder, groups, record.title)]
    print_settings(groups, record.title)
    done = sum(status.state == DONE for status in statuses)
    names = ", ".join(file.name for file in files if file is not None)
    print(f"{done} of {len(rows)} jobs done; {names} in {folder}")
    if done < len(rows):
        print(f"run the missing jobs with: {main_command(setting_word('resume', folder))}")
    return stop_code or int(done < len(rows))


def _record(overrides: list[list[str]], jobs: list[Job], labels: list[str], settings: list[str]) -> Record:
    envs, algos = (" + ".join(names) for names in _envs_and_algos(jobs))
    parts = zip(folder_names(labels), labels, settings, overrides, jobs, strict=True)
    return Record(
        title=f"{algos} on {envs}",
        jobs=[
            JobRecord(name, label, setting, lasting_words(words, job), call_words(job))
            for name, label, setting, words, job in parts
        ],
    )


def _envs_and_algos(jobs: Sequence[Job]) -> tuple[list[str], list[str]]:
    envs = dict.fromkeys(job.config.env_cfg.id for job in jobs)
    algos = dict.fromkeys(job.config.general_cfg.algo_name.rpartition(":")[2] for job in jobs)
    return [*envs], [*algos]


def _begun(sweep: Sweep) -> bool:
    return any((sweep.folder / name).exists() for name in sweep.names)


def _prepare(hydra: Hydra, texts: list[str], yaml_file: YamlFile | None, number: int, label: str) -> Job:
    try:
        job = prepare(hydra, texts, yaml_file, tag=str(number))
        if job.config.general_cfg.resume:
            raise UserError("resume continues one run in its own folder, so it cannot be swept; leave out -m")
        if job.config.general_cfg.mode == "verify":
            raise UserError("mode=verify runs the seeds of one preset by itself; leave out -m")
        return job
    except UserError as error:
        raise UserError(f"{error} (job {number}: {label})" if label else str(error)) from error


def _values(override: Override) -> list[str]:
    """The words that stand for an override in the jobs."""
    line = str(override.input_line)
    if override.key_or_group.startswith(("hydra/sweeper", "hydra.sweeper")):
        raise UserError(f"{line}: Joyride expands sweeps itself; other sweepers are not supported")
    if not override.is_sweep_override():
        return [line]
    if override.is_hydra_override():
        raise UserError(f"{line}: Hydra's own settings cannot be swept")
    if not override.is_discrete_sweep():
        raise UserError(f"{line}: list the values, or write range(<start>,<stop>,<step>)")
    values = itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1)  # range() may have any number
    return [f"{override.get_key_element()}={value}" for value in values]

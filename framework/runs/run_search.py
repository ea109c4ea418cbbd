"""Finding a run's folder under tasks/: by name, by path, the latest, or the newest that fits."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from algos.common.errors import UserError, did_you_mean
from framework.runs import latest, provenance
from framework.runs.files import read_text
from framework.runs.run_folder import RunFolder

SWEEP_RECORD = "sweep.json"  # in a sweep's folder: what was asked for
DATA_KEYS = ("dataset", "demo_paths", "success_paths", "failure_paths", "check")  # settings that take data
_DATA = ("results/trajs_*.pkl", "results/data/*.hdf5")


def find_run(text: str, tasks_dir: Path | str, key: str = "general_cfg.load_path") -> Path:
    """The run folder that `text` names: a run under `tasks_dir`, a path of a run or of a model file, or `latest`.

    Raises UserError, which begins with `key`, if there is no such run.
    """
    tasks = Path(tasks_dir)
    if text == "latest":
        return _latest(tasks, key)
    found = next((latest.real(path) for path in (tasks / text, Path(text).expanduser()) if os.path.exists(path)), None)
    if found is None and "/" not in text:
        in_sweeps = [run for run in runs_newest_first(tasks) if run.name == text]
        if len(in_sweeps) > 1:
            raise UserError(
                f"{key}={text}: several sweeps have a run of that name; write for example"
                f" {in_sweeps[0].relative_to(tasks)}"
            )
        found = in_sweeps[0] if in_sweeps else None
    if found is None:
        raise UserError(f"{key}={text}: {_why_missing(text, tasks, key)}")
    run = found
    if found.is_file() and found.suffix == ".pt":  # in the run's models/, or beside its config.yaml
        run = found.parent if _is_run(found.parent) else found.parent.parent
    if not _is_run(run):
        jobs = sorted(str(one.parent) for one in run.glob("[!.]*/config.yaml")) if run.is_dir() else []
        inside = next((parent for parent in run.parents if _is_run(parent)), None)
        hint = "it has no config.yaml" if inside is None else f"it is inside of one: give {inside}"
        hint = f"it is a sweep; choose one of its runs, such as {jobs[0]}" if jobs else hint
        if key.endswith("resume") and (run / SWEEP_RECORD).is_file():
            hint = "it is a sweep; resume all of it with resume=<sweep>"
        raise UserError(f"{key}={text}: {run} is not a run folder; {hint}")
    return run


def newest_run(tasks_dir: Path | str, fits: Callable[[Path], bool]) -> Path | None:
    """The newest run with a saved model for which `fits(folder)` holds, or None."""
    with_model = (run for run in runs_newest_first(Path(tasks_dir)) if any(run.glob("models/*.pt")))
    return next((run for run in with_model if fits(run)), None)


def runs_newest_first(tasks: Path) -> Iterator[Path]:
    """The run folders in `tasks` and in its sweeps."""
    configs = [config for pattern in ("*/config.yaml", "*/*/config.yaml") for config in tasks.glob(pattern)]
    own = [config for config in configs if not {".hydra", latest.NAME} & {*config.parts[-3:-1]}]
    newest = sorted(own, key=lambda config: (*_time(config.parent), str(config)), reverse=True)
    return (config.parent for config in newest)


def _time(run: Path) -> tuple[float, int]:
    """When a run was started or last resumed: by its own record, for a copy's files have the time of the copy.

    Without one by the folder's name, else by its config's time, which also decides between equal ones.
    """
    written = (run / "config.yaml").stat().st_mtime_ns
    with suppress(UserError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        facts = json.loads(read_text(run / provenance.FILE))
        last = [facts, *facts.get("resumed", [])][-1]
        return datetime.fromisoformat(last["started"]).timestamp(), written
    named = re.search(r"_(\d{8}-\d{6})(-\d+)?$", run.name)
    with suppress(ValueError, OverflowError):
        if named:
            return datetime.strptime(named[1], "%Y%m%d-%H%M%S").timestamp(), written
    return written / 1e9, written


def _latest(tasks: Path, key: str) -> Path:
    """The run that `tasks/latest` shows if it can serve `key`; else the newest that can: a test has no model."""
    last = RunFolder.latest(tasks)
    runs = [*([last] if last is not None and _is_run(last) else []), *runs_newest_first(tasks)]
    if not runs:
        raise UserError(f"{key}=latest: there is no run in {tasks}/ yet; train one first")
    return next((run for run in runs if _serves(run, key)), runs[0])


def _serves(run: Path, key: str) -> bool:
    """Whether a run has what `key` asks for: a checkpoint to continue from, data, or a model."""
    name = key.rpartition(".")[2]
    patterns = ("checkpoints/*",) if name == "resume" else _DATA if name in DATA_KEYS else ("models/*.pt",)
    return any(next(run.glob(pattern), None) is not None for pattern in patterns)


def is_of_a_run(file: Path) -> bool:
    """Whether a file of settings is that of a run."""
    signs = (provenance.FILE, "models", "checkpoints")
    return file.name == "config.yaml" and any((file.parent / sign).exists() for sign in signs)


def _is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file()


def _why_missing(text: str, tasks: Path, key: str) -> str:
    if text.endswith(".pt"):
        folder = next((path.parent for path in (tasks / text, Path(text)) if path.parent.is_dir()), None)
        if folder is not None:
            return f"no such model file; {did_you_mean(Path(text).name, [path.name for path in folder.glob('*.pt')])}"
    runs = list(runs_newest_first(tasks))
    if not runs:
        return f"no such run; there are no runs in {tasks}/ yet"
    newest = next((run for run in runs if _serves(run, key)), runs[0]).relative_to(tasks)
    hint = did_you_mean(text, [str(run.relative_to(tasks)) for run in runs])
    return f"no such run in {tasks}/ and no such path; {hint if '?' in hint else f'the newest is {str(newest)!r}'}"

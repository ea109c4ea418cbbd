"""The record of a sweep, written before its first job starts: the overrides of every job, for resuming."""

import dataclasses
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework.runs import provenance
from framework.runs.files import atomic_write, read_plain, read_text, refuse_links
from framework.runs.run_search import SWEEP_RECORD
from framework.settings.effects import effect_of
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import parse_overrides
from framework.settings.overrides import quoted, to_override
from framework.settings.prepare import Job, prepare
from framework.settings.saved_run import named_code
from framework.settings.yaml_file import YamlFile

YAML_FILE = "sweep.yaml"  # in the sweep's folder: a copy of the file of --yaml


@dataclass
class JobRecord:
    """A job as it was asked for."""

    name: str  # of its folder
    label: str  # the swept overrides
    setting: str  # the same without the seed
    words: list[str]  # the overrides that start it
    call: list[str]  # settings that a run does not hand on to its resumption, such as progress


@dataclass
class Record:
    """A sweep as it was asked for."""

    title: str  # algorithms and environments
    jobs: list[JobRecord]

    def write(self, folder: Path, yaml_file: YamlFile | None, hydra: Hydra) -> None:
        """Write it down, and the file of settings that was given with it."""
        if yaml_file is not None:
            atomic_write(folder / YAML_FILE, read_plain(yaml_file.path))
        atomic_write(folder / SWEEP_RECORD, (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode())
        if code := _named_code(hydra, self, yaml_file):
            provenance.sign(folder, code)

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """What the sweep in `folder` has written down; UserError if that is damaged."""
        path = folder / SWEEP_RECORD
        try:
            data = json.loads(read_text(path))
            return cls(str(data["title"]), [JobRecord(**_plain(job)) for job in data["jobs"]])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path} is damaged, so the sweep cannot be resumed: {error}") from None


def refuse_strangers(hydra: Hydra, folder: Path, *, trust: bool) -> None:
    """Raise UserError for a sweep of somebody else whose jobs name code, unless the user trusts it, and for links."""
    refuse_links(folder, to_write=True)
    yaml_file = YamlFile(folder / YAML_FILE) if (folder / YAML_FILE).exists() else None
    code = _named_code(hydra, Record.read(folder), yaml_file)
    if code and not trust and not provenance.is_own(folder, code):
        raise UserError(
            f"general_cfg.resume: {folder} was not made by you on this machine, and its jobs name code to be run"
            f" ({code[0]}); look at that code, then add trust=true"
        )


def _named_code(hydra: Hydra, record: "Record", yaml_file: YamlFile | None) -> list[str]:
    """What the words of the jobs and the file of settings name by dotted paths; of Hydra's own, all but a launcher."""
    words = {word for job in record.jobs for word in (*job.words, *job.call)}
    found = {name for _, name in named_code(yaml_file.data if yaml_file is not None else {})}
    for override in parse_overrides(hydra, sorted(words)):
        line, key = str(override.input_line), override.key_or_group
        if override.is_hydra_override() or key == "hydra":
            found |= set() if re.fullmatch(r"hydra/launcher=\w+", line) else {line}
        else:
            found |= {name for _, name in named_code({key.rpartition(".")[2]: override.value()})}
    return sorted(found)


def _plain(job: dict[str, Any]) -> dict[str, Any]:
    """A job's record; TypeError for what is no text, ValueError for a name that leads elsewhere."""
    for name, value in job.items():
        texts = value if name in ("words", "call") else [value]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{name} of a job is {value!a:.60}")
    if Path(job["name"]).name != job["name"] or job["name"] in ("", ".", ".."):
        raise ValueError(f"a job is named {job['name']!a:.60}")
    return job


def lasting_words(words: Sequence[str], job: Job) -> list[str]:
    """The words of a job that mean the same later: the run whose model it loads is named, not `latest`."""
    general = job.config.general_cfg
    if not general.load_path:
        return [*words]
    kept = [word for word in words if word.partition("=")[0].removeprefix("general_cfg.") != "load_path"]
    return [*kept, f"general_cfg.load_path={quoted(general.load_path)}"]


def call_words(job: Job) -> list[str]:
    """The settings of a job that are for the call alone, as overrides."""
    general = job.config.general_cfg
    keys = [field.name for field in dataclasses.fields(general) if effect_of(general, field.name) == "call"]
    return [to_override(f"general_cfg.{key}", getattr(general, key)) for key in keys]


def resumed_job(hydra: Hydra, folder: Path, record: Record, number: int, *, own: Sequence[str] = ()) -> Job:
    """A job as it was requested or, if it was started, as a resumed run; `own`: settings of this call."""
    job = record.jobs[number]
    # trust=true counts where the user types it now, not in the sweep's record
    words, call = ([word for word in some if key_of(word) != "trust"] for some in (job.words, job.call))
    run, last = folder / job.name, [*own, to_override("general_cfg.tasks_dir", str(folder.parent))]
    config = run / "config.yaml"
    if config.exists() and YamlFile(config).section("general_cfg").get("mode") == "test":
        shutil.rmtree(run)  # a test has no state; it had no result yet
    if config.exists():
        hydra_words = [word for word in words if word.startswith("hydra")]
        resume = f"general_cfg.resume={quoted(str(run))}"
        return prepare(hydra, _merged([*hydra_words, *call], [*last, resume]), tag=str(number))
    yaml_file = YamlFile(folder / YAML_FILE) if (folder / YAML_FILE).exists() else None
    return prepare(hydra, _merged(words, last), yaml_file, tag=str(number))


def key_of(word: str) -> str:
    """The key of an override, without the section of general settings."""
    return word.partition("=")[0].removeprefix("general_cfg.")


def _merged(words: Sequence[str], later: Sequence[str]) -> list[str]:
    """Words of which the later take the places of earlier ones with the same key."""
    return [*{key_of(word): word for word in [*words, *later]}.values()]

"""The record of a sweep, written before its first job starts: the overrides of every job, for resuming."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from algos.common.errors import UserError
from framework.runs.files import atomic_write
from framework.runs.run_search import SWEEP_RECORD
from framework.settings.effects import effect_of
from framework.settings.overrides import quoted, to_override
from framework.settings.prepare import Job
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

    def write(self, folder: Path, yaml_file: YamlFile | None) -> None:
        """Write it down, and the file of settings that was given with it."""
        if yaml_file is not None:
            atomic_write(folder / YAML_FILE, yaml_file.path.read_bytes())
        atomic_write(folder / SWEEP_RECORD, (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """What the sweep in `folder` has written down; UserError if that is damaged."""
        path = folder / SWEEP_RECORD
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(data["title"], [JobRecord(**job) for job in data["jobs"]])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(f"{path} is damaged, so the sweep cannot be resumed: {error}") from None


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

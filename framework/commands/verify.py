"""mode=verify: does a preset reach its reference score? Trains it with seeds 1 to n, tests each best model, and
compares the mean score with the reference.

Seeds run like the jobs of a sweep: one after the other, or in parallel with hydra/launcher=joblib.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from algos.common.errors import UserError, did_you_mean
from framework.commands.sweep import make_folder
from framework.commands.sweep_jobs import Sweep, run_jobs
from framework.commands.sweep_status import Status
from framework.commands.verdict import NOTE, RESULT, SCORE
from framework.commands.verify_report import report
from framework.runs import provenance
from framework.runs.checkout import ROOT
from framework.runs.files import atomic_write
from framework.runs.run_folder import RunFolder
from framework.settings.command import main_command, setting_word
from framework.settings.effects import changes_score
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import parse_overrides
from framework.settings.overrides import quoted, sort_overrides
from framework.settings.prepare import Job, prepare, show_remarks
from framework.settings.yaml_file import YamlFile

SEEDS = 5  # unless general_cfg.seeds says otherwise
OWN = ("mode", "seed", "seeds", "resume", "load_checkpoint")  # of general_cfg: each seed's run gets its own
CODE = ("main.py", "algos", "envs", "framework", "config")


def asks_to_verify(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> bool:
    """Whether the command line, or else the file of settings, says mode=verify."""
    given = [text for key, text in _settings(hydra, texts) if key == "mode"]
    if given:
        return given[-1].partition("=")[2] == "verify"
    return yaml_file is not None and yaml_file.section("general_cfg").get("mode") == "verify"


def run_verify(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> int:
    """Verify a preset; the exit code: 0 it passes, 1 it does not (or proves nothing) or a seed failed, 130 or 143
    when interrupted.

    Raises UserError, with nothing left behind, for a preset that cannot be verified.
    """
    rest = [text for key, text in _settings(hydra, texts) if key not in OWN]
    master, preset = _checked(hydra, texts, yaml_file)
    show_remarks([master])
    general, expected = master.config.general_cfg, master.config.expected
    folder = _folder(hydra, texts, master, preset)
    lock = RunFolder(folder)
    lock.acquire_lock()
    try:
        seeds = range(1, (general.seeds or SEEDS) + 1)
        begun = sum(path.is_dir() for path in folder.glob("seed_*"))
        if begun > len(seeds):
            raise UserError(f"general_cfg.seeds={len(seeds)}: {folder} has already started {begun}, and all must count")
        left = [seed for seed in seeds if not (folder / f"seed_{seed}" / SCORE).exists()]
        if left:
            (folder / RESULT).unlink(missing_ok=True)  # of fewer seeds
            _note(folder, master, preset)
        statuses, stop_code = _run(hydra, folder, rest, yaml_file, left) if left else ([], 0)
        if stop_code == 2:  # a mistake of the user's that the first seed found
            _clear(folder)
            return 2
        changes = _changes(hydra, texts, yaml_file, master, preset)
        code = report(folder, preset, expected, seeds, dict(zip(left, statuses, strict=True)), changes)
    finally:
        lock.release_lock()
    if stop_code or code is None:
        file = ["--yaml", str(yaml_file.path)] if yaml_file is not None else []
        words = [text for key, text in _settings(hydra, texts) if key != "resume"]
        print("resume with: " + main_command(*file, *words, setting_word("resume", folder)))
    return stop_code or (1 if code is None else code)


def _settings(hydra: Hydra, texts: Sequence[str]) -> list[tuple[str, str]]:
    """The user's words, each with its key; keys of general_cfg without the section."""
    parsed = parse_overrides(hydra, texts)
    return [(override.key_or_group.removeprefix("general_cfg."), str(override.input_line)) for override in parsed]


def _checked(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> tuple[Job, str]:
    """The composed preset with its name; UserError for what cannot be verified."""
    keys = [key for key, _ in _settings(hydra, texts)]
    if "seed" in keys:
        raise UserError("general_cfg.mode=verify trains with seeds 1 to general_cfg.seeds; leave out seed")
    preset = sort_overrides(parse_overrides(hydra, texts)).choices.get("preset", "null")
    if preset == "null":
        raise UserError("general_cfg.mode=verify needs preset=<env>/<ALGO>; `python main.py --help` lists the presets")
    words = [text for key, text in _settings(hydra, texts) if key != "resume"]
    master = prepare(hydra, words, yaml_file)
    if master.config.expected.mean_reward is None:
        raise UserError(f"preset={preset} has no reference score (expected.mean_reward)")
    return master, preset


def _folder(hydra: Hydra, texts: Sequence[str], master: Job, preset: str) -> Path:
    """A new folder, or the one that `resume` names; UserError if that verifies something else."""
    given = [override for override in parse_overrides(hydra, texts) if override.key_or_group.endswith("resume")]
    text = str(given[-1].value() or "") if given else ""
    tasks = Path(master.config.general_cfg.tasks_dir)
    if not text:
        return make_folder(tasks, [master], "Verify")
    noted = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in tasks.glob(f"Verify_*/{NOTE}")}
    if text == "latest":
        fitting = [place for place, note in noted.items() if note["preset"] == preset]
        if not fitting:
            raise UserError(f"general_cfg.resume=latest: {tasks}/ has no verification of {preset}; leave out resume")
        folder = max(fitting, key=lambda place: (place / NOTE).stat().st_mtime_ns)
    else:
        folder = next((path for path in (tasks / text, Path(text)) if os.path.exists(path / NOTE)), Path())
        if folder == Path():
            hint = did_you_mean(text, [place.name for place in noted]) if noted else "leave out resume"
            raise UserError(f"general_cfg.resume={text}: no such verification in {tasks}/ and no such path; {hint}")
    _check_same(json.loads((folder / NOTE).read_text(encoding="utf-8")), master, preset, folder)
    return folder


def _check_same(note: dict[str, Any], master: Job, preset: str, folder: Path) -> None:
    if note["preset"] != preset:
        raise UserError(f"general_cfg.resume: {folder} verifies {note['preset']}, not {preset}")
    for key, value in _learned(master).items():
        if value != note["settings"].get(key, value):
            raise UserError(f"{key}={value}: {folder} has {note['settings'][key]}; leave out resume to start again")


def _learned(job: Job) -> dict[str, Any]:
    """The settings that change what a seed learns, and what it is compared with, by full key, as JSON keeps them."""
    config = job.config
    sections = {**config.settings(), "expected": dataclasses.asdict(config.expected)}
    kept = {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
        if changes_score(getattr(config, section), key) and not (section == "general_cfg" and key in OWN)
    }
    settings: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return settings


def other_settings(note: dict[str, Any], preset: Job) -> list[str]:
    """The settings of a verification (`note` is what its NOTE holds) that are not those of the preset as it is now."""
    now = {key: value for key, value in _learned(preset).items() if key != "expected.source"}
    return [f"{key}={value}" for key, value in note["settings"].items() if value != now.get(key, value)]


def _note(folder: Path, master: Job, preset: str) -> None:
    """Write down what is verified, and with which code each time it was run."""
    path = folder / NOTE
    commits = json.loads(path.read_text(encoding="utf-8"))["commits"] if path.exists() else []
    commit = provenance.own_version()["commit"]
    changed = provenance.is_changed(ROOT, *CODE)
    here = (commit[:7] if commit else "unknown") + ("+changes" if changed else "")
    note = {"preset": preset, "settings": _learned(master), "commits": list(dict.fromkeys([*commits, here]))}
    atomic_write(path, json.dumps(note, indent=2).encode())


def _run(
    hydra: Hydra, folder: Path, words: list[str], yaml_file: YamlFile | None, seeds: Sequence[int]
) -> tuple[list[Status], int]:
    """Train and test these seeds, each in its folder; one that was begun continues."""
    names = [f"seed_{seed}" for seed in seeds]

    def job(number: int) -> Job:
        run = folder / names[number]
        resume = f"resume={quoted(str(run))}" if (run / "config.yaml").exists() else "resume=null"
        own = ["mode=train", "seeds=null", f"seed={seeds[number]}", resume]
        return prepare(hydra, [*words, *own], yaml_file, tag=names[number])

    jobs = [job(number) for number in range(len(seeds))]
    labels = [f"seed={seed}" for seed in seeds]
    sweep = Sweep(folder, names, labels, work="train_and_test", alike=True)
    shutil.rmtree(sweep.status.folder, ignore_errors=True)  # of a verification that was killed
    try:
        return run_jobs(hydra, sweep, jobs, job)
    finally:
        shutil.rmtree(sweep.status.folder, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Delete a folder in which no seed has begun."""
    if not any(folder.glob("seed_*")):
        shutil.rmtree(folder)
        with suppress(OSError):
            folder.parent.rmdir()


def _changes(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None, master: Job, preset: str) -> list[str]:
    """The settings in which this verification differs from the bare preset."""
    general = master.config.general_cfg
    neutral = {*OWN, "preset", *(key for key in vars(general) if not changes_score(general, key))}
    keys = [key for key, _ in _settings(hydra, texts)]
    if yaml_file is None and all(key in neutral or key.startswith("hydra") for key in keys):
        return []
    bare = _learned(prepare(hydra, [*master.hydra_overrides, f"preset={preset}"], tag="bare"))
    return [f"{key}={value}" for key, value in _learned(master).items() if value != bare.get(key)]

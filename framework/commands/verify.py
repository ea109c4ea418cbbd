"""mode=verify: does a preset reach its reference score? It is trained with seeds 1 to n, each best model is tested, and
the mean of the seeds' scores is judged by the reference.

Seeds run as the jobs of a sweep do: one after the other, or side by side with hydra/launcher=joblib.
"""

import dataclasses
import json
import os
import shlex
import shutil
import statistics
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra

from algos.common.errors import UserError, did_you_mean
from framework.commands.sweep import Sweep, make_folder, run_jobs
from framework.commands.sweep_status import DONE, FAILED, Status
from framework.commands.verdict import RESULT, SCORE, TEST_EPISODES, Result, Verdict, in_words, judge, shown
from framework.runs import provenance
from framework.runs.run_folder import RunFolder, atomic_write
from framework.settings.hydra_session import options, parse_overrides
from framework.settings.overrides import quoted, sort_words
from framework.settings.prepare import Job, prepare
from framework.settings.yaml_file import YamlFile

SEEDS = 5  # unless general_cfg.seeds says otherwise
FILE = "verify.json"  # in the folder of a verification: what is verified
PAGE = "docs/results.md"
OWN = ("mode", "seed", "seeds", "resume")  # of general_cfg: each seed's run gets its own
NEUTRAL = (  # of general_cfg: they do not change what a seed learns, but for rounding
    *OWN, "load_checkpoint", "device", "torch_threads", "checkpoint_keep", "loggers", "log_interval", "progress",
    "save_fig", "show_fig", "tasks_dir",
)  # fmt: skip
CODE = ("main.py", "algos", "envs", "framework", "config")


def asks_to_verify(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> bool:
    """Whether the command line, or else the file of settings, says mode=verify."""
    given = [text for key, text in _settings(hydra, texts) if key == "mode"]
    if given:
        return given[-1].partition("=")[2] == "verify"
    return yaml_file is not None and yaml_file.section("general_cfg").get("mode") == "verify"


def run_verify(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None) -> int:
    """Verify a preset; the exit code: 0 it passes, 1 it does not or a seed failed, 130 or 143 when interrupted.

    Raises UserError, with nothing left behind, for a preset that cannot be verified.
    """
    rest = [text for key, text in _settings(hydra, texts) if key not in OWN]
    master, preset = _checked(hydra, texts, yaml_file)
    general = master.config.general_cfg
    folder = _folder(hydra, texts, master, preset)
    lock = RunFolder(folder)
    lock.acquire_lock()
    try:
        seeds = range(1, (general.seeds or SEEDS) + 1)
        begun = sum(path.is_dir() for path in folder.glob("seed_*"))
        if begun > len(seeds):
            raise UserError(f"general_cfg.seeds={len(seeds)}: {folder} has begun {begun}, and none may be left out")
        left = [seed for seed in seeds if not (folder / f"seed_{seed}" / SCORE).exists()]
        if left:
            (folder / RESULT).unlink(missing_ok=True)  # of fewer seeds
            _note(folder, master, preset)
        statuses, stop_code = _run(hydra, folder, rest, yaml_file, left) if left else ([], 0)
        if stop_code == 2:  # a mistake of the user's that the first seed found
            _clear(folder)
            return 2
        changes = _changes(hydra, texts, yaml_file, master, preset)
        code = _report(folder, master, preset, seeds, dict(zip(left, statuses, strict=True)), changes)
    finally:
        lock.release_lock()
    if stop_code or code is None:
        file = ["--yaml", str(yaml_file.path)] if yaml_file is not None else []
        words = [text for key, text in _settings(hydra, texts) if key != "resume"]
        print("go on with: " + shlex.join(["python", "main.py", *file, *words, f"resume={folder}"]))
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
    preset = sort_words(parse_overrides(hydra, texts)).choices.get("preset", "null")
    if preset == "null":
        known = ", ".join(options(hydra, "preset"))
        raise UserError(f"general_cfg.mode=verify needs a preset: preset=<env>/<ALGO>; known: {known}")
    words = [text for key, text in _settings(hydra, texts) if key != "resume"]
    master = prepare(hydra, words, yaml_file)
    if master.config.expected.mean_reward is None:
        raise UserError(f"preset={preset} states no score to be compared with; it needs expected.mean_reward")
    return master, preset


def _folder(hydra: Hydra, texts: Sequence[str], master: Job, preset: str) -> Path:
    """A new folder, or the one that `resume` names; UserError where that verifies something else."""
    given = [override for override in parse_overrides(hydra, texts) if override.key_or_group.endswith("resume")]
    text = str(given[-1].value() or "") if given else ""
    tasks = Path(master.config.general_cfg.tasks_dir)
    if not text:
        return make_folder(tasks, [master], "Verify")
    noted = {path.parent: json.loads(path.read_text()) for path in tasks.glob(f"Verify_*/{FILE}")}
    if text == "latest":
        fitting = [place for place, note in noted.items() if note["preset"] == preset]
        if not fitting:
            raise UserError(f"general_cfg.resume=latest: {tasks}/ holds no verification of {preset}; leave out resume")
        folder = max(fitting, key=lambda place: (place / FILE).stat().st_mtime_ns)
    else:
        folder = next((path for path in (tasks / text, Path(text)) if (path / FILE).exists()), Path())
        if folder == Path():
            hint = did_you_mean(text, [place.name for place in noted]) if noted else "leave out resume"
            raise UserError(f"general_cfg.resume={text}: no such verification in {tasks}/, nor a path; {hint}")
    _check_same(json.loads((folder / FILE).read_text()), master, preset, folder)
    return folder


def _check_same(note: dict[str, Any], master: Job, preset: str, folder: Path) -> None:
    if note["preset"] != preset:
        raise UserError(f"general_cfg.resume: {folder} verifies {note['preset']}, not {preset}")
    for key, value in _learned(master).items():
        if value != note["settings"].get(key, value):
            raise UserError(f"{key}={value}: {folder} has {note['settings'][key]}; leave out resume to start anew")


def _learned(job: Job) -> dict[str, Any]:
    """The settings that change what a seed learns, and what it is compared with, by full key, as JSON keeps them."""
    config = job.config
    sections = {name: dataclasses.asdict(getattr(config, name)) for name in ("general_cfg", "algo_cfg", "env_cfg")}
    sections["expected"] = dataclasses.asdict(config.expected)
    kept = {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
        if not (section == "general_cfg" and key in NEUTRAL) and key not in ("render_mode", "compile")
    }
    settings: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    return settings


def other_settings(note: dict[str, Any], preset: Job) -> list[str]:
    """The settings of a verification (`note` is what its FILE holds) that are not those of the preset as it is now."""
    now = {key: value for key, value in _learned(preset).items() if key != "expected.source"}
    return [f"{key}={value}" for key, value in note["settings"].items() if value != now.get(key, value)]


def _note(folder: Path, master: Job, preset: str) -> None:
    """Write down what is verified, and with which code each time it was run."""
    path = folder / FILE
    commits = json.loads(path.read_text())["commits"] if path.exists() else []
    commit = provenance.code_version(provenance.SOURCE)["commit"]
    changed = provenance.is_changed(provenance.SOURCE, *CODE)
    here = (commit[:7] if commit else "unknown") + ("+changes" if changed else "")
    note = {"preset": preset, "settings": _learned(master), "commits": list(dict.fromkeys([*commits, here]))}
    atomic_write(path, json.dumps(note, indent=2).encode())


def _run(
    hydra: Hydra, folder: Path, words: list[str], yaml_file: YamlFile | None, seeds: Sequence[int]
) -> tuple[list[Status], int]:
    """Train and test these seeds, each in its folder; one that was begun goes on."""
    names, overrides = [f"seed_{seed}" for seed in seeds], []
    for seed, name in zip(seeds, names, strict=True):
        begun = (folder / name / "config.yaml").exists()
        resume = f"resume={quoted(str(folder / name))}" if begun else "resume=null"
        overrides.append([*words, "mode=train", "seeds=null", f"seed={seed}", resume])
    jobs = [prepare(hydra, job, yaml_file, tag=name) for job, name in zip(overrides, names, strict=True)]
    labels = [f"seed={seed}" for seed in seeds]
    sweep = Sweep(folder, names, labels, overrides, work="train_and_test", alike=True)
    shutil.rmtree(sweep.status.folder, ignore_errors=True)  # of a verification that was killed
    return run_jobs(hydra, sweep, jobs)


def _clear(folder: Path) -> None:
    """Delete a folder in which no seed has begun."""
    if not any(folder.glob("seed_*")):
        shutil.rmtree(folder)
        with suppress(OSError):
            folder.parent.rmdir()


def _report(
    folder: Path, master: Job, preset: str, seeds: Sequence[int], statuses: dict[int, Status], changes: list[str]
) -> int | None:
    """Print the table and the verdict, and write the result; the exit code, None without a verdict."""
    from rich.console import Console  # it takes a while, and --help imports this module

    console = Console(width=None if os.isatty(1) else 120, highlight=False, soft_wrap=True)
    scores = {seed: _score(folder / f"seed_{seed}") for seed in seeds}
    console.print(_table(preset, scores, statuses))
    done = [score for score in scores.values() if score is not None]
    if len(done) < len(scores):
        failed = sum(status.state == FAILED for status in statuses.values())
        console.print(f"no verdict: {len(done)} of {len(scores)} seeds are done, {failed} failed")
        return None
    means = [statistics.fmean(score["rewards"]) for score in done]
    expected = master.config.expected
    verdict = judge(means, expected)
    console.print(f"{preset} {in_words(verdict, means, expected)}")
    written = _result(folder, preset, verdict, means, done).write(folder)
    if changes:
        console.print(f"written: {written}, not for {PAGE}: not the preset's own settings: {', '.join(changes)}")
    else:
        console.print(f"written: {written}; next: make tables, which takes it over into {PAGE}")
    return int(not verdict.passes)


def _result(folder: Path, preset: str, verdict: Verdict, means: list[float], done: Sequence[dict[str, Any]]) -> Result:
    return Result(
        preset=preset,
        verdict=verdict,
        scores=means,
        env_steps=statistics.fmean(score["env_step"] for score in done),
        seconds=statistics.fmean(score["wall_time"] for score in done),
        commit=", ".join(json.loads((folder / FILE).read_text())["commits"]),
        machine=_machine(),
        finished=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _score(run: Path) -> dict[str, Any] | None:
    """What a seed that is done has left."""
    path = run / SCORE
    if not path.exists():
        return None
    score: dict[str, Any] = json.loads(path.read_text())
    return score


def _table(preset: str, scores: dict[int, dict[str, Any] | None], statuses: dict[int, Status]) -> Any:
    """A rich table with a row for each seed."""
    from rich.table import Table

    table = Table(title=f"{preset}, {TEST_EPISODES} episodes a seed")
    for name in ("seed", "mean reward", "std of episodes", "env steps", "seconds", "model", "state"):
        table.add_column(name, justify="left" if name in ("model", "state") else "right")
    for seed, score in scores.items():
        if score is None:
            state = statuses[seed].state if seed in statuses else "not started"
            table.add_row(str(seed), "", "", "", "", "", state)
            continue
        rewards = score["rewards"]
        numbers = (shown(statistics.fmean(rewards)), shown(statistics.pstdev(rewards)), f"{score['env_step']:,}")
        table.add_row(str(seed), *numbers, f"{score['wall_time']:.0f}", score["model"], DONE)
    return table


def _changes(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None, master: Job, preset: str) -> list[str]:
    """The settings in which this verification differs from the bare preset."""
    keys = [key for key, _ in _settings(hydra, texts)]
    if yaml_file is None and all(key in (*NEUTRAL, "preset") or key.startswith("hydra") for key in keys):
        return []
    bare = _learned(prepare(hydra, [*master.hydra_overrides, f"preset={preset}"], tag="bare"))
    return [f"{key}={value}" for key, value in _learned(master).items() if value != bare.get(key)]


def _machine() -> str:
    hardware = provenance.collect()["hardware"]
    gpus = "".join(f", {gpu}" for gpu in hardware["gpus"])
    return f"{hardware['cpu']}, {hardware['cores']} cores{gpus}"

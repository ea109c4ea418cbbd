"""What benchmarks/ray_faults.py does to a run: watches its processes, kills some, and judges how it ends (Linux).

No benchmark by itself, like ray_parts.py.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ray_parts import ROOT, Process, command, descendants, rows, the_run, wait_for

ASKED = 475.0  # mean of 100 episodes
TITLES = {"worker": "ray::WorkerActor", "learner": "ray::LearnerActor", "server": "ray::ServerActor"}
# Ray's own programs, without which a run ends, and what happens to them
LOSSES = [(program, how) for how in (signal.SIGKILL, signal.SIGSTOP) for program in ("raylet", "gcs_server")]
SHARES = (0.05, 0.8)  # of a run's env steps between which kills fall: later ones might come after its end
GRACE = 20.0  # seconds for processes to go once their run is over
ENDS_WITHIN = 90.0  # seconds, if it was one of Ray's programs
KINDS = {**{kind: (kind,) for kind in TITLES}, "server or learner": ("server", "learner")}  # words of faults.csv
# A model is judged in this process, whatever the run had
ALONE = ["mp_backend=single", "sync=exact", "n_learners=1", "ray_address=null", "n_workers=1", "n_envs=1", "seed=1000"]


class Watched:
    """A training run in a process of its own, and every process that descends from `root` (None: from the run)."""

    def __init__(self, settings: dict[str, Any], tasks: Path, limit: float, root: int | None = None):
        tasks.mkdir(exist_ok=True)
        self.tasks, self.steps = tasks, int(settings["max_env_step"])
        self.begun, self.limit = time.monotonic(), limit
        with (tasks / "said.txt").open("w") as file:
            self.process = subprocess.Popen(
                command(settings, tasks), stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
            )
        self.root = self.process.pid if root is None else root
        self.seen: set[Process] = set()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.begun

    @property
    def over(self) -> bool:
        """The run has ended, or must be by now; a look at this also takes note of its processes."""
        self.seen.update(descendants(self.root))
        return self.process.poll() is not None or self.seconds > self.limit

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Whether a condition came true before the run was over."""
        while not self.over:
            if condition():
                return True
            time.sleep(0.1)
        return False

    def progress(self) -> float:
        """Share of the env steps that is done, by the last episode recorded; 0 before the first checkpoint."""
        runs = [path for path in self.tasks.iterdir() if path.is_dir() and path.name != "latest"]
        if not runs or not any(runs[0].glob("checkpoints/*/manifest.json")):
            return 0.0
        lines = _tail(runs[0] / "results" / "episodes.csv")
        cells = lines[-1].split(",") if lines else []
        return int(cells[1]) / self.steps if len(cells) > 1 and cells[1].isdigit() else 0.0

    def actors(self, title: str, root: int | None = None) -> list[Process]:
        """Its processes of a title."""
        return [one for one in descendants(self.root if root is None else root) if one.title.startswith(title)]

    def programs(self, name: str) -> list[Process]:
        """Its processes of a program of Ray's."""
        return [one for one in descendants(self.root) if Path(one.title.partition(" ")[0]).name == name]

    def end(self) -> None:
        """Leave nothing of it behind, in whatever state it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """The end of its words."""
        return (self.tasks / "said.txt").read_text(encoding="utf-8")[-1500:]


def actors_of(run: Watched) -> list[Process]:
    """The run's actors that still live, on whichever node."""
    return [one for one in run.seen if one.alive and one.title.startswith(tuple(TITLES.values()))]


def _tail(path: Path) -> list[str]:
    """The last whole lines of a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 400))
            return file.read().decode().rpartition("\n")[0].splitlines()
    except OSError:
        return []


@dataclass
class Report:
    """What is told of a run."""

    name: str
    kills: list[str] = field(default_factory=list)  # kinds, in turn
    moments: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    text: str = ""


def kill_in_turn(run: Watched, kinds: list[str], rng: random.Random, report: Report) -> None:
    """Kill a process of each kind, each at a random share of the run."""
    for share, kind in zip(sorted(rng.uniform(*SHARES) for _ in kinds), kinds, strict=True):
        pause = rng.uniform(0.0, 0.5)  # else all kills would fall at the end of an episode
        found: list[Process] = []

        def reached(share: float = share) -> bool:
            return run.progress() >= share

        def there(kind: str = kind, found: list[Process] = found) -> bool:
            found[:] = run.actors(TITLES[kind])  # none while it is being replaced
            return bool(found)

        if not run.wait_until(reached):
            return
        time.sleep(pause)
        if not run.wait_until(there):
            return
        _kill(rng.choice(found))
        report.kills.append(kind)
        report.moments.append(f"{kind} at {run.seconds:.1f} s ({run.progress():.0%})")


def _kill(process: Process, how: signal.Signals = signal.SIGKILL) -> None:
    if process.alive:
        os.kill(process.pid, how)


def lose_ray(run: Watched, program: str, how: signal.Signals, rng: random.Random, report: Report) -> Path | None:
    """Kill or stop a program of Ray's at a random share of the run, and see that the run ends as it must.

    Returns the folder to resume, None where the run was over before. One that has no need any more of what was stopped
    may do the rest of its steps, and end with exit code 0.
    """
    share = rng.uniform(*SHARES)
    if not run.wait_until(lambda: run.progress() >= share):
        report.problems.append(f"it ended before {program} got its {how.name}")
        return None
    (process,) = run.programs(program)
    _kill(process, how)
    report.moments.append(f"{program} ({how.name}) at {run.seconds:.1f} s ({share:.0%})")
    begun = run.seconds
    ended = wait_for(lambda: run.over, ENDS_WITHIN)
    report.text = f"ended after {run.seconds - begun:.1f} s, "
    folder, said = the_run(run.tasks), run.said().strip().splitlines()
    faults = [row["part"] for row in rows(folder, "faults")]
    if ended and how is signal.SIGSTOP and run.process.returncode == 0:
        report.text += "its steps all done"
        if not any(line.startswith(f"ended: max_env_step {run.steps} reached") for line in said):
            report.problems.append(f"exit code 0, but its words are: {run.said()}")
        return None
    if not ended or run.process.returncode != 2:
        report.problems.append(f"exit code {run.process.returncode} after {ENDS_WITHIN:.0f} s at most: {run.said()}")
    elif not (said[-1].startswith("error: Ray has failed: its ") and said[-1].endswith(f"resume={folder}")):
        report.problems.append(f"its last words: {said[-1]}")
    elif faults[-1:] != ["Ray"]:
        report.problems.append(f"faults.csv has {faults}")
    return folder


def judge(run: Watched, planned: list[str], report: Report, leftovers: Callable[[], list[Process]]) -> None:
    """Wait for the end of a run and look at all that it must have reached."""
    run.wait_until(lambda: False)
    problems = report.problems
    if run.process.poll() is None:
        problems.append(f"still running after {run.limit:.0f} s")
    elif run.process.returncode:
        problems.append(f"exit code {run.process.returncode}: {run.said()}")
    seconds = run.seconds
    run.end()
    if not wait_for(lambda: not leftovers(), GRACE):
        left = leftovers()
        problems.append(f"left over: {', '.join(f'{one.pid} {one.title[:40]}' for one in left)}")
        for one in left:
            _kill(one)
    if len(report.kills) < len(planned):
        problems.append(f"only {len(report.kills)} of {len(planned)} kills before its end")
    score = best = float("nan")
    faults: list[dict[str, str]] = []
    if not problems:
        faults = rows(the_run(run.tasks), "faults")
        score = score_of(the_run(run.tasks))
        best = max(float(row["mean_reward"]) for row in rows(the_run(run.tasks), "eval"))
        if score < ASKED:
            problems.append(f"its best model reaches {score:.1f}, not {ASKED:.0f}")
        problems += missing(faults, report.kills)
    report.text += f"{seconds:.0f} s, faults {len(faults)}, best model {score:.1f} (online {best:.1f})"


def missing(faults: list[dict[str, str]], kills: list[str]) -> list[str]:
    """Kinds of kills of which faults.csv has fewer."""
    found, table = [], ", ".join(f"{row['part']}: {row['cause']}" for row in faults) or "nothing"
    for kind in sorted(set(kills)):
        listed = sum(any(word in row["part"] for word in KINDS[kind]) for row in faults)
        if listed < kills.count(kind):
            found.append(f"faults.csv has {listed} of {kills.count(kind)} kills of a {kind} (it has: {table})")
    return found


def score_of(run: Path) -> float:
    """Mean of 100 deterministic episodes of a run's best model."""
    from framework.experiment import Experiment

    return Experiment.load(run, ALONE).evaluate(100).mean

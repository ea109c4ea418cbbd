"""Kill processes of Ray training runs at random moments; every run must end well all the same.

    python benchmarks/ray_faults.py [--workers 20] [--learners 5] [--servers 3] [--nodes 2] [--runs 8] [--seed 0]

The kills are spread over runs of the DQN and PPO presets of CartPole-v1, in both sync modes, with two workers and one
or two learners. Each is a SIGKILL of a process that descends from the run, chosen by its title, once the run has
reached a random share of its env steps and a random moment has passed. Then, for each of `--nodes`, two Ray nodes are
started on this machine, a run joins them, and the one that is not the head is killed with all that lives on it. Needs
Linux.

A run is good if it ends with exit code 0 within `--limit` seconds, results/faults.csv has each of its kills, its best
model reaches 475 over 100 episodes on seeds that training never saw, and none of its processes is left. Of a node
each worker must be in faults.csv, and the server or a learner if any was there (the loss of both is one loss). One
line a run, then the verdict; exits with 1 on any failure.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ray_parts import ROOT, Process, command, descendants, rows, the_run, wait_for

ASKED = 475.0  # mean of 100 episodes
TITLES = {"worker": "ray::WorkerActor", "learner": "ray::LearnerActor", "server": "ray::ServerActor"}
SHARES = (0.05, 0.8)  # of a run's env steps between which kills fall: later ones might come after its end
GRACE = 20.0  # seconds for processes to go once their run is over
COMMON = {
    "mp_backend": "ray",
    "worker_timeout": 60.0,
    "max_worker_restarts": 50,
    "progress": "off",
    "loggers": [],
    "save_fig": False,
}
PRESETS = {
    "DQN": {"preset": "CartPole-v1/DQN", "n_workers": 2, "max_env_step": 50_000},
    "PPO": {"preset": "CartPole-v1/PPO", "n_workers": 2, "n_envs": 4, "max_env_step": 100_000},
}
KINDS = {**{kind: (kind,) for kind in TITLES}, "server or learner": ("server", "learner")}  # words of faults.csv
CASES = [(preset, sync) for sync in ("exact", "async") for preset in PRESETS]
NODE_CASES = (2, 1, 3, 0)  # of CASES
# A model is judged in this process, whatever the run had
ALONE = ["mp_backend=single", "sync=exact", "n_learners=1", "ray_address=null", "n_workers=1", "n_envs=1", "seed=1000"]


class Watched:
    """A training run in a process of its own, and every process that descends from `root` (None: from the run)."""

    def __init__(self, settings: dict[str, Any], tasks: Path, limit: float, root: int | None = None):
        tasks.mkdir()
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

    def end(self) -> None:
        """Leave nothing of it behind, in whatever state it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """The end of its words."""
        return (self.tasks / "said.txt").read_text(encoding="utf-8")[-1500:]


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


def _kill(process: Process) -> None:
    if process.alive:
        os.kill(process.pid, signal.SIGKILL)


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
    report.text = f"{seconds:.0f} s, faults {len(faults)}, best model {score:.1f} (online {best:.1f})"


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


def faulty_run(name: str, settings: dict[str, Any], kinds: list[str], tasks: Path, rng: random.Random, limit: float):
    """Train with these kills; the report."""
    report, run = Report(name), Watched(settings, tasks, limit)
    try:
        kill_in_turn(run, kinds, rng, report)
        judge(run, kinds, report, lambda: [one for one in run.seen if one.alive])
    finally:
        run.end()
    return report


def node_run(name: str, settings: dict[str, Any], tasks: Path, rng: random.Random, limit: float) -> Report:
    """Train on two nodes, of which one is killed."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # as in a run's own Ray; its default is 15
    # Each node has room for all the actors, and they go to whichever has the most left, so that both have some
    sizes = {"num_cpus": 8, "object_store_memory": 300 * 2**20}
    spread = {"_system_config": {"scheduler_spread_threshold": 0.0}}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args={**sizes, **spread})
    run = None
    try:
        lost = cluster.add_node(**sizes)
        cluster.wait_for_nodes()
        run = Watched({**settings, "ray_address": cluster.address}, tasks, limit, root=os.getpid())
        report = Report(name)
        kill_node(cluster, lost, run, rng, report)
        if not report.kills:
            report.problems.append("no node with a worker, server or learner on it was killed")
        judge(run, report.kills, report, lambda: actors_of(run))
    finally:
        if run is not None:
            run.end()
        cluster.shutdown()
    _without_cluster(run, report)
    return report


def actors_of(run: Watched) -> list[Process]:
    """The run's actors that still live, on whichever node."""
    return [one for one in run.seen if one.alive and one.title.startswith(tuple(TITLES.values()))]


def kill_node(cluster: Any, node: Any, run: Watched, rng: random.Random, report: Report) -> None:
    """Kill a node at a random share of the run, with the actors on it."""
    share = rng.uniform(*SHARES)
    raylet = node.all_processes["raylet"][0].process.pid
    if not run.wait_until(lambda: run.progress() >= share):
        return
    there = [one.title.partition(".")[0].removeprefix("ray::") for one in run.actors("ray::", raylet)]
    actors = sorted(title for title in there if title.endswith("Actor"))
    report.moments.append(f"node with {', '.join(actors) or 'nothing'} at {run.seconds:.1f} s ({share:.0%})")
    cluster.remove_node(node, allow_graceful=False)
    report.kills += ["worker"] * actors.count("WorkerActor")
    report.kills += ["server or learner"] * bool({"ServerActor", "LearnerActor"} & set(actors))


def _without_cluster(run: Watched, report: Report) -> None:
    """Nothing of nodes or run may be left when the cluster is down."""
    if not wait_for(lambda: not any(one.alive for one in run.seen), GRACE):
        report.problems.append("processes are left after the cluster was shut down")


def main() -> int:
    """Run it; the exit code is 1 if any run fails."""
    parser = argparse.ArgumentParser(description="kill processes of Ray training runs")
    for kind, count in (("workers", 20), ("learners", 5), ("servers", 3), ("nodes", 2)):
        parser.add_argument(f"--{kind}", type=int, default=count, help=f"{kind} to kill, over all runs")
    parser.add_argument("--runs", type=int, default=8, help="runs over which the kills of processes are spread")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a run counts as hung")
    parser.add_argument("--seed", type=int, default=0, help="of kills and training")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kinds = ["worker"] * options.workers + ["learner"] * options.learners + ["server"] * options.servers
    rng.shuffle(kinds)
    runs = options.runs if kinds else 0
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(runs + options.nodes):
            tasks = Path(scratch, str(number))
            if number < runs:
                name, settings = case(number, options.seed, learners=1 + number // len(CASES) % 2)
                report = faulty_run(name, settings, kinds[number::runs], tasks, rng, options.limit)
            else:
                name, settings = case(NODE_CASES[(number - runs) % len(NODE_CASES)], options.seed, learners=1)
                four = {"n_workers": 4, "n_envs": max(1, settings.get("n_envs", 1) // 2)}  # so that each node has some
                report = node_run(f"{name}, two nodes", {**settings, **four}, tasks, rng, options.limit)
            bad += bool(report.problems)
            verdict = f"FAILS: {'; '.join(report.problems)}" if report.problems else "good"
            killed = ", ".join(report.moments) or "nothing"
            print(f"{number + 1:2} {report.name}: {report.text}; killed {killed}: {verdict}", flush=True)
    print(f"{runs + options.nodes - bad} of {runs + options.nodes} runs are good")
    return int(bad > 0)


def case(number: int, seed: int, learners: int) -> tuple[str, dict[str, Any]]:
    """(name, settings) of a run."""
    preset, sync = CASES[number % len(CASES)]
    own = {"sync": sync, "n_learners": learners, "seed": 1000 * seed + number + 1}
    return f"{preset} {sync}, {learners} learner{'s' * (learners > 1)}", {**COMMON, **PRESETS[preset], **own}


if __name__ == "__main__":
    sys.exit(main())

"""Kill processes of Ray training runs at random moments; every run must end well all the same.

    python benchmarks/ray_faults.py [--workers 20] [--learners 5] [--servers 3] [--nodes 2] [--rays 4] [--runs 8]

The kills are spread over runs of the DQN and PPO presets of CartPole-v1, in both sync modes, with two workers and one
or two learners. Each is a SIGKILL of a process that descends from the run, chosen by its title, once the run has
reached a random share of its env steps and a random moment has passed. Then, for each of `--nodes`, two Ray nodes are
started on this machine, a run joins them, and the one that is not the head is killed with all that lives on it. Last,
for each of `--rays`, Ray's own raylet or server is killed or stopped: the run must end within 90 s with exit code 2,
Ray in results/faults.csv and the command that resumes it as its last words; it is resumed and must then be good. Where
one was only stopped, the run may also do the rest of its steps without it, and end within 90 s. Needs Linux.

A run is good if it ends with exit code 0 within `--limit` seconds, results/faults.csv has each of its kills, its best
model reaches 475 over 100 episodes on seeds that training never saw, and none of its processes is left. Of a node
each worker must be in faults.csv, and the server or a learner if any was there (the loss of both is one loss). One
line a run, then the verdict; exits with 1 on any failure.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ray_kills import (
    GRACE,
    LOSSES,
    SHARES,
    Report,
    Watched,
    actors_of,
    judge,
    kill_in_turn,
    lose_ray,
)
from benchmarks.ray_parts import wait_for

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
CASES = [(preset, sync) for sync in ("exact", "async") for preset in PRESETS]
NODE_CASES = (2, 1, 3, 0)  # of CASES


def faulty_run(name: str, settings: dict[str, Any], kinds: list[str], tasks: Path, rng: random.Random, limit: float):
    """Train with these kills; the report."""
    report, run = Report(name), Watched(settings, tasks, limit)
    try:
        kill_in_turn(run, kinds, rng, report)
        judge(run, kinds, report, lambda: [one for one in run.seen if one.alive])
    finally:
        run.end()
    return report


def ray_run(name: str, settings: dict[str, Any], loss: Any, tasks: Path, rng: random.Random, limit: float) -> Report:
    """Train until a program of Ray's own is killed or stopped (`loss`: one of LOSSES), then resume."""
    report, run = Report(name), Watched(settings, tasks, limit)
    try:
        folder = lose_ray(run, *loss, rng, report)
    finally:
        run.end()
    if not wait_for(lambda: not any(one.alive for one in run.seen), GRACE):
        report.problems.append("processes are left")
    if folder is not None and not report.problems:
        resumed = Watched({"resume": str(folder), "max_env_step": settings["max_env_step"]}, tasks, limit)
        try:
            judge(resumed, [], report, lambda: [one for one in resumed.seen if one.alive])
        finally:
            resumed.end()
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
    for kind, count in (("workers", 20), ("learners", 5), ("servers", 3), ("nodes", 2), ("rays", 4)):
        parser.add_argument(f"--{kind}", type=int, default=count, help=f"{kind} to kill, over all runs")
    parser.add_argument("--runs", type=int, default=8, help="runs over which the kills of processes are spread")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a run counts as hung")
    parser.add_argument("--seed", type=int, default=0, help="of kills and training")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kinds = ["worker"] * options.workers + ["learner"] * options.learners + ["server"] * options.servers
    rng.shuffle(kinds)
    runs = options.runs if kinds else 0
    bad, total = 0, runs + options.nodes + options.rays
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(total):
            report = one_run(number, runs, kinds, options, Path(scratch, str(number)), rng)
            bad += bool(report.problems)
            verdict = f"FAILS: {'; '.join(report.problems)}" if report.problems else "good"
            killed = ", ".join(report.moments) or "nothing"
            print(f"{number + 1:2} {report.name}: {report.text}; killed {killed}: {verdict}", flush=True)
    print(f"{total - bad} of {total} runs are good")
    return int(bad > 0)


def one_run(number: int, runs: int, kinds: list[str], options: Any, tasks: Path, rng: random.Random) -> Report:
    """The run of that number: first those with killed processes, then nodes, then Ray itself."""
    if number < runs:
        name, settings = case(number, options.seed, learners=1 + number // len(CASES) % 2)
        return faulty_run(name, settings, kinds[number::runs], tasks, rng, options.limit)
    node = number - runs
    if node < options.nodes:
        name, settings = case(NODE_CASES[node % len(NODE_CASES)], options.seed, learners=1)
        four = {"n_workers": 4, "n_envs": max(1, settings.get("n_envs", 1) // 2)}  # so that each node has some
        return node_run(f"{name}, two nodes", {**settings, **four}, tasks, rng, options.limit)
    loss = LOSSES[(node - options.nodes) % len(LOSSES)]
    name, settings = case(node - options.nodes, options.seed, learners=1)
    return ray_run(f"{name}, without {loss[0]}", settings, loss, tasks, rng, options.limit)


def case(number: int, seed: int, learners: int) -> tuple[str, dict[str, Any]]:
    """(name, settings) of a run."""
    preset, sync = CASES[number % len(CASES)]
    own = {"sync": sync, "n_learners": learners, "seed": 1000 * seed + number + 1}
    return f"{preset} {sync}, {learners} learner{'s' * (learners > 1)}", {**COMMON, **PRESETS[preset], **own}


if __name__ == "__main__":
    sys.exit(main())

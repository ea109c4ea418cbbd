"""Kill actor, learner and driver of human-in-the-loop training under Ray at random moments; it must go on.

    python benchmarks/kill_human.py [--kills 20] [--seed 0]

HybridSAC on ReachGrasp with a scripted person and demonstrations, which are made first; actor and learner side by side
(`sync=async n_workers=1`). Each run has one SIGKILL: of its worker, its learner or its driver, in turn. A run without
its driver is resumed. A run is good if it ends with exit code 0, all its env steps and their updates are made, give or
take those of an interval between checkpoints for what was lost with a driver or a learner, its replay holds every env
step that it counts once, its demo buffer only steps that are there too, and none of its actors is left.
One line a run; exits with 1 on any failure. `kill_resume.py --cases person` does the same to exact runs, bit for bit.
Needs Linux.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.kill_resume import final_checkpoint, finish, start
from benchmarks.ray_kills import GRACE, SHARES, Report, Watched, actors_of, kill_in_turn, missing
from benchmarks.ray_parts import command, rows, the_run, wait_for

STEPS, STARTS, GRADIENT_STEPS, INTERVAL = 1200, 100, 2, 100  # INTERVAL: env steps between checkpoints
SETTINGS: dict[str, Any] = {
    "preset": "ReachGrasp/quick", "max_env_step": STEPS, "mp_backend": "ray", "sync": "async", "n_workers": 1,
    "algo_cfg.buffer_size": 5 * STEPS, "algo_cfg.learning_starts": STARTS,
    "eval_env_steps": INTERVAL, "online_eval_episode": 2, "log_interval": 20, "progress": "off", "loggers": [],
    "save_fig": False,
}  # fmt: skip
KINDS = ("worker", "learner", "driver")


def one_run(kind: str, demos: Path, tasks: Path, rng: random.Random, seed: int) -> Report:
    """Train, kill, and look at what is there at the end."""
    settings = {**SETTINGS, "algo_cfg.demo_paths": str(demos), "seed": seed}
    report, run = Report(kind), Watched(settings, tasks, 300.0)
    try:
        if kind == "driver":
            run = without_driver(run, settings, rng, report)
        else:
            kill_in_turn(run, [kind], rng, report)
        run.wait_until(lambda: False)
        if run.process.poll() != 0:
            report.problems.append(f"exit code {run.process.poll()}: {run.said()}")
        elif not report.moments:
            report.problems.append("it was over before its kill")
    finally:
        run.end()
    if not wait_for(lambda: not actors_of(run), GRACE):
        report.problems.append("actors are left")
    if not report.problems:
        judge(the_run(tasks), report)
    return report


def without_driver(run: Watched, settings: dict[str, Any], rng: random.Random, report: Report) -> Watched:
    """Kill the process of the command itself; the run that goes on with it."""
    share = rng.uniform(*SHARES)
    if run.wait_until(lambda: run.progress() >= share):
        report.moments.append(f"driver at {run.seconds:.1f} s ({run.progress():.0%})")
    run.end()
    if not wait_for(lambda: not actors_of(run), GRACE):  # Ray's own agents notice it within minutes
        report.problems.append(f"outlive the driver: {', '.join(one.title[:40] for one in actors_of(run))}")
    saved = max((int(path.parent.name) for path in the_run(run.tasks).glob("checkpoints/*/manifest.json")), default=0)
    report.moments.append(f"checkpoint {saved:,}")
    resumed = {"resume": str(the_run(run.tasks)), "max_env_step": settings["max_env_step"]}
    return Watched(resumed, run.tasks, 300.0)


def judge(folder: Path, report: Report) -> None:
    """Counters and buffers of a finished run."""
    left = final_checkpoint(folder)
    server, driver = left["server"], left["driver"]
    replay, added = server["buffer"], server["demos"]["added"]
    report.problems += missing(rows(folder, "faults"), report.kills) if report.kills else []
    due, off = GRADIENT_STEPS * (STEPS - STARTS), GRADIENT_STEPS * (1 + bool(report.name != "worker") * INTERVAL)
    if driver["env_step"] != STEPS or replay["size"] != STEPS:
        report.problems.append(f"{driver['env_step']} env steps, {replay['size']} of them in the replay")
    if abs(driver["update_step"] - due) > off:
        report.problems.append(f"{driver['update_step']} updates, where {due} +- {off} are due")
    kept, helped = (_rows(buffer) for buffer in (replay, added))
    if len(set(kept)) != STEPS or not set(helped) <= set(kept):
        report.problems.append("a row of a person is not among those of the run, or one is there twice")
    report.text = f"{driver['update_step']} updates of {due}, {len(helped)} steps of a person among {len(kept)}"


def _rows(buffer: dict[str, Any]) -> list[bytes]:
    """Each row's state, action and next state."""
    columns = buffer["rows"]
    parts = (columns["obs"]["state"], columns["action"], columns["next_obs"]["state"])
    return [b"".join(part[row].tobytes() for part in parts) for row in range(buffer["size"])]


def main() -> int:
    """Run it; the exit code is 1 if any run fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="runs, each with one kill")
    parser.add_argument("--seed", type=int, default=0, help="of kills and training")
    options = parser.parse_args()
    rng, bad = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as scratch:
        finish(start(command({"preset": "ReachGrasp/demos"}, Path(scratch, "demos"))))
        (demos,) = Path(scratch, "demos").glob("Dataset_*/results/success_demo.pkl")
        for number in range(options.kills):
            tasks = Path(scratch, str(number))
            report = one_run(
                KINDS[(number + options.seed) % len(KINDS)], demos, tasks, rng, 1000 * options.seed + number + 1
            )
            bad += bool(report.problems)
            verdict = f"FAILS: {'; '.join(report.problems)}" if report.problems else "good"
            print(f"{number + 1:2} {', '.join(report.moments)}: {report.text}: {verdict}", flush=True)
    print(f"{options.kills - bad} of {options.kills} runs are good")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

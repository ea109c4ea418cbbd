"""How Ray's parts overlap: JoyRL's three tables of 100 episodes, with the trainer as it is.

    python benchmarks/ray_scaling.py [--tables 1,2,3] [--workers 1,2,4,16] [--rounds 3] [--one-process]

1. An episode takes 0.1 s of waiting and an update nothing: W workers need 10 / W s (16 of them 7 rounds of 0.1 s).
2. An episode takes nothing and the gradients of an update 0.1 s, most of it waiting, one update for each episode: 10 s.
3. Two learners have half of each update's rows, and so half of that time, each: 5 s.

Each cell is a run of main.py with sync=async; `--one-process` runs tables 1 and 2 without Ray instead, with one
worker. An episode is 10 steps, and 10 steps ask for one update, of a batch of 10 rows (`WaitingLearner`). Seconds run
from the first step to the last episode and update that the run's tables hold; start-up is told apart, and what a run
writes when it is over does not count.

Relied on: wall_time is 0 when the first step begins; a rollout is one episode where episodes are slow (train_freq
steps, more only if steps are fast); the run ends with episode 100 and all updates that its episodes ask for (a cell
with fewer than 100 fails); several learners split the rows that `loss` gets. A cell fails if the median of its rounds
is more than 5% above the ideal (16 workers: 10%), or any round goes wrong; the exit code is 1 if any cell fails.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ray_parts import QUIET, rows, start_up, train

EPISODES, LENGTH, SECONDS = 100, 10, 0.1
TOLERANCE = {16: 1.10}  # by workers: that many wake up at once, and have two cores
USUAL_TOLERANCE = 1.05
JOYRL = {
    1: {1: 10.97, 2: 5.96, 4: 3.46},
    2: {1: 11.05, 2: 11.00, 4: 11.29},
    3: {1: 11.07, 2: 5.93, 4: 6.04},
}
TITLES = {
    1: "1. episodes of 0.1 s, updates take nothing",
    2: "2. updates of 0.1 s, episodes take nothing",
    3: "3. updates of 0.1 s, shared by two learners",
}


@dataclass
class Cell:
    """Seconds and start-up of each round's run, the updates that the last one made, and what is wrong, if anything."""

    seconds: list[float]
    start_up: list[float]
    updates: int
    problem: str


def ideal(table: int, workers: int) -> float:
    """Seconds if nothing but the waiting took time and all that can wait at once did."""
    if table == 1:
        return ceil(EPISODES / workers) * SECONDS
    return EPISODES * SECONDS / (2 if table == 3 else 1)


def settings_of(table: int, workers: int, one_process: bool) -> dict[str, Any]:
    """The run of one cell."""
    settings = {
        **QUIET,
        "algo_name": "benchmarks.ray_parts:WaitingLearner",
        "algo_cfg.train_freq": LENGTH,
        "algo_cfg.batch_size": LENGTH,
        "algo_cfg.update_seconds": 0.0 if table == 1 else SECONDS,
        "env_cfg.entry_point": "benchmarks.ray_parts:WaitingEnv",
        "env_cfg.kwargs": {"seconds": SECONDS if table == 1 else 0.0, "length": LENGTH},
        "max_episode": EPISODES,
        "online_eval": False,
        "model_save_fre": 10**6,
        "log_interval": 1,
    }
    if one_process:
        return settings
    learners = 2 if table == 3 else 1
    return {**settings, "mp_backend": "ray", "sync": "async", "n_workers": workers, "n_learners": learners}


def measure(table: int, workers: int, rounds: int, one_process: bool) -> Cell:
    """Run a cell, as often as there are rounds."""
    cell = Cell([], [], 0, "")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            run = train(settings_of(table, workers, one_process), Path(scratch), limit=120.0)
            episodes, updates = rows(run, "episodes"), rows(run, "updates")
            cell.start_up.append(start_up(run))
        cell.seconds.append(max(float(last["wall_time"]) for last in (episodes[-1], updates[-1])))
        cell.updates = int(updates[-1]["update_step"])
        if len(episodes) != EPISODES or cell.updates < EPISODES:
            cell.problem = f"{len(episodes)} episodes and {cell.updates} updates instead of {EPISODES}"
    limit = ideal(table, workers) * TOLERANCE.get(workers, USUAL_TOLERANCE)
    if median(cell.seconds) > limit:
        cell.problem = cell.problem or f"more than {limit:.2f} s"
    return cell


def run_table(table: int, workers: list[int], rounds: int, one_process: bool) -> int:
    """Run and print a table; the number of cells that fail."""
    print(f"{TITLES[table]}\nworkers  JoyRL  ideal    ours  ours/ideal  updates  start-up  rounds", flush=True)
    bad = 0
    for count in workers:
        best, theirs = ideal(table, count), JOYRL[table].get(count)
        label = f"{count:7} {f'{theirs:6.2f}' if theirs else '     -'} {best:6.2f}"
        try:
            cell = measure(table, count, rounds, one_process)
        except RuntimeError as error:
            print(f"{label}  {error}", flush=True)
            bad += 1
            continue
        bad += bool(cell.problem)
        ours, each = median(cell.seconds), " ".join(f"{seconds:.3f}" for seconds in cell.seconds)
        print(
            f"{label} {ours:7.3f} {ours / best:11.3f} {cell.updates:8} {median(cell.start_up):7.1f} s  {each}"
            f"  {cell.problem}".rstrip(),
            flush=True,
        )
    return bad


def main() -> int:
    """Print the tables; the exit code is 1 if any cell is too slow or not what it should be."""
    parser = argparse.ArgumentParser(description="100 episodes with Ray against the ideal of its parts' waiting")
    parser.add_argument("--tables", default="1,2,3", help="which of them")
    parser.add_argument("--workers", default="1,2,4,16", help="numbers of workers")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each cell, of which the median counts")
    parser.add_argument("--one-process", action="store_true", help="tables 1 and 2 without Ray, one worker")
    options = parser.parse_args()
    tables, workers = ([int(number) for number in text.split(",")] for text in (options.tables, options.workers))
    if options.one_process:
        tables, workers = [table for table in tables if table < 3], [1]
    bad = sum(run_table(table, workers, options.rounds, options.one_process) for table in tables)
    print(f"{bad} of {len(tables) * len(workers)} cells fail" if bad else "every cell is near its ideal")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

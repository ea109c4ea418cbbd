"""What a runner costs: its training with callbacks and logging against a bare loop with the same parts.

    python benchmarks/runner_overhead.py [--rounds 10] [--algo PPO]

Both sides take turns in one process, many times a round, so that a machine with other work slows down both. CPU
seconds are compared. The bare loop calls worker, data server and learner and nothing else; the runner has a callback
at every event, which reads what it is told, TensorBoard and tables. Exits with 1 where the median is above 5%.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from framework import OffPolicyRunner, OnPolicyRunner

LIMIT = 0.05
SETTINGS: dict[str, tuple[Any, str, int, int, dict[str, Any]]] = {  # runner, env, iterations a round and a turn
    "PPO": (OnPolicyRunner, "CartPole-v1", 12, 1, {"n_envs": 8, "n_steps": 256, "batch_size": 256}),
    "DQN": (OffPolicyRunner, "CartPole-v1", 2_000, 100, {"learning_starts": 100, "train_freq": 1, "batch_size": 64}),
}


def make(algo: str, folder: str) -> Any:
    kind, env, _, _, settings = SETTINGS[algo]
    quiet = {"progress": "off", "save_fig": False, "model_save_fre": 10**9}
    return kind(env, algo, log_dir=folder, device="cpu", cfg=settings | quiet)


class Bare:
    """A loop over the parts of a runner that has begun, which goes on with each call."""

    def __init__(self, runner: Any):
        driver = runner.driver
        (self.worker,), self.server = driver.sampling.workers, driver.sampling.server
        self.learner, self.length, self.step = driver.learning.learner, driver.counters.rollout_length, driver.env_step

    def turn(self, iterations: int) -> float:
        """CPU seconds of so many rollouts and their updates."""
        start = time.process_time()
        for _ in range(iterations):
            rollout, stats = self.worker.collect(self.length, self.step)
            self.step += stats.env_steps
            self.server.put(rollout)
            while self.server.updates_due():
                self.learner.learn(self.server.sample())
        return time.process_time() - start


class Turns:
    """Between two iterations of the runner's, now and then, the bare loop has its turn; `seconds` of both."""

    def __init__(self, bare: Bare, length: int):
        self.bare, self.length = bare, length
        self.begin()

    def begin(self) -> None:
        self.seconds, self.done, self.since = [0.0, 0.0], 0, time.process_time()

    def __call__(self, runner: Any) -> None:
        if self.done % self.length == 0:
            now = time.process_time()
            if self.done:
                self.seconds[0] += now - self.since
                self.seconds[1] += self.bare.turn(self.length)
            self.since = time.process_time()
        self.done += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--algo", choices=SETTINGS, default="PPO")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    _, _, iterations, length, _ = SETTINGS[args.algo]
    with tempfile.TemporaryDirectory() as folder:
        with_all, alone = make(args.algo, folder), make(args.algo, folder)
        seen: dict[str, float] = {}
        for event in ("iteration", "rollout", "update"):
            with_all.add_callback(f"pre_{event}", lambda runner: None)
            with_all.add_callback(f"post_{event}", lambda runner, stats: seen.update(stats))
        for runner in (with_all, alone):
            runner.learn(num_iterations=max(iterations // 4, 2))  # warm-up
        turns, overheads = Turns(Bare(alone), length), list[float]()
        with_all.add_callback("pre_iteration", turns)
        for _ in range(args.rounds):
            turns.begin()
            with_all.learn(num_iterations=iterations + 1)  # what comes before the first iteration is no part of a turn
            mine, its = turns.seconds
            overheads.append(mine / its - 1)
            print(f"runner {mine:.2f} s, bare loop {its:.2f} s: {100 * overheads[-1]:+.1f}%", flush=True)
    print(f"{args.algo}: median overhead {100 * median(overheads):+.1f}% (limit {100 * LIMIT:.0f}%)")
    return int(median(overheads) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""What a runner costs: its training with callbacks and logging against a bare loop with the same parts.

    python benchmarks/runner_overhead.py [--rounds 10] [--algo PPO]

Both sides take turns in one process, and CPU seconds are compared. The bare loop calls worker, data server and learner
and nothing else; the runner has a callback with stats at every event, TensorBoard and tables. Exits with 1 where the
median overhead is above 5%.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from framework.runners import OffPolicyRunner, OnPolicyRunner, Runner

LIMIT = 0.05
SETTINGS = {
    "PPO": (OnPolicyRunner, "CartPole-v1", 16_384, {"n_envs": 8, "n_steps": 256, "batch_size": 256}),
    "DQN": (OffPolicyRunner, "CartPole-v1", 2_000, {"learning_starts": 100, "train_freq": 1, "batch_size": 64}),
}


def make(algo: str, folder: str) -> Runner:
    kind, env, _, settings = SETTINGS[algo]
    quiet = {"progress": "off", "save_fig": False, "model_save_fre": 10**9}
    return kind(env, algo, log_dir=folder, device="cpu", cfg=settings | quiet)


def bare(runner: Runner, steps: int) -> float:
    """CPU seconds of a loop over the parts of a runner that has begun."""
    driver = runner.driver
    assert driver is not None
    (worker,), server, learner = driver.sampling.workers, driver.sampling.server, driver.learning.learner  # type: ignore[attr-defined]
    length, done, start = driver.counters.rollout_length, 0, time.process_time()
    while done < steps:
        rollout, stats = worker.collect(length, driver.env_step + done)
        done += stats.env_steps
        server.put(rollout)
        while server.updates_due():
            learner.learn(server.sample())
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--algo", choices=SETTINGS, default="PPO")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    steps = SETTINGS[args.algo][2]
    with tempfile.TemporaryDirectory() as folder:
        with_all, alone = make(args.algo, folder), make(args.algo, folder)
        for event in ("iteration", "rollout", "update"):
            with_all.add_callback(f"pre_{event}", lambda runner: None)
            with_all.add_callback(f"post_{event}", lambda runner, stats: None)
        times: list[float] = []  # a run's first and last checkpoints are no part of its loop
        for runner in (with_all, alone):
            runner.learn(total_timesteps=steps // 4)  # warm-up
        marks: list[float] = []
        with_all.add_callback("pre_iteration", lambda runner: marks.append(time.process_time()))
        with_all.add_callback("post_iteration", lambda runner: marks.append(time.process_time()))
        for _ in range(args.rounds):
            marks.clear()
            with_all.learn(total_timesteps=steps)
            mine, its = marks[-1] - marks[0], bare(alone, steps)
            times.append(mine / its - 1)
            print(f"runner {mine:.2f} s, bare loop {its:.2f} s: {100 * times[-1]:+.1f}%")
    print(f"{args.algo}: median overhead {100 * median(times):+.1f}% (limit {100 * LIMIT:.0f}%)")
    return int(median(times) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""What a second core brings where the environment is the work: Ray with two workers against one process with two.

    python benchmarks/ray_load.py [--rounds 3] [--steps 8192] [--algorithms PPO,DQN]

The environment is CartPole-v1 whose every step burns 2 ms of a core; PPO and DQN have the presets' settings, two
workers with one environment each (PPO 128 steps of each, so that a rollout is one minibatch of 256). In a round each
algorithm trains in one process, with Ray in sync=exact, and in sync=async, one after the other. Env steps/s are
counted between the first and the last row of updates.csv, so without start-up and the steps before the first update.
The load of the machine is printed with each round: on two cores anything else that runs shows. Exits with 1 if the
mean ratio of async to one process is below 1.7 for either algorithm.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ray_parts import QUIET, env_step_rate, train

LIMIT = 1.7
BURN = 0.002  # seconds of a core, each step
COMMON = {
    **QUIET,
    "n_workers": 2,
    "n_envs": 1,
    "online_eval": False,
    "model_save_fre": 10**6,
    "env_cfg.wrappers": [{"type": "benchmarks.ray_parts:BusySteps", "seconds": BURN}],
}
ALGORITHMS = {
    "PPO": {"preset": "CartPole-v1/PPO", "algo_cfg.n_steps": 128, "log_interval": 20},
    "DQN": {"preset": "CartPole-v1/DQN", "log_interval": 128},
}
WAYS: dict[str, dict[str, Any]] = {
    "one process": {"mp_backend": "single"},
    "exact": {"mp_backend": "ray", "sync": "exact"},
    "async": {"mp_backend": "ray", "sync": "async"},
}


def rates(algorithm: str, steps: int) -> dict[str, float]:
    """Env steps/s of each way, run in turn."""
    found = {}
    for way, settings in WAYS.items():
        with tempfile.TemporaryDirectory() as scratch:
            run = train({**COMMON, **ALGORITHMS[algorithm], **settings, "max_env_step": steps}, Path(scratch))
            found[way] = env_step_rate(run)
    return found


def main() -> int:
    """Print each round and the ratios; the exit code says whether async's mean ratio is high enough."""
    parser = argparse.ArgumentParser(description="env steps/s with Ray against one process, 2 ms of CPU time per step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8192, help="env steps of a run")
    parser.add_argument("--algorithms", default="PPO,DQN")
    options = parser.parse_args()
    algorithms = options.algorithms.split(",")
    ratios: dict[tuple[str, str], list[float]] = {}
    for number in range(1, options.rounds + 1):
        for algorithm in algorithms:
            load = os.getloadavg()[0]
            found = rates(algorithm, options.steps)
            words = [f"{way} {rate:6.1f}/s" for way, rate in found.items()]
            for way in ("exact", "async"):
                ratio = found[way] / found["one process"]
                ratios.setdefault((algorithm, way), []).append(ratio)
                words.append(f"{way} x {ratio:.2f}")
            print(f"round {number} (load {load:.1f}) {algorithm}: {', '.join(words)}", flush=True)
    for (algorithm, way), values in ratios.items():
        asked = f" (at least {LIMIT} is required)" if way == "async" else ""
        print(f"{algorithm} {way}: mean ratio {mean(values):.3f}, min {min(values):.3f}{asked}")
    return int(any(mean(ratios[algorithm, "async"]) < LIMIT for algorithm in algorithms))


if __name__ == "__main__":
    sys.exit(main())

"""What the loop costs: the rate of DQN's training loop against the rate of its bare update alone.

    python benchmarks/overhead.py [--compile] [--rounds 10] [--updates 500]

Both sides share network, batch size and optimiser (256x256 relu, batch 64; one update a step, CartPole-v1 cut at 200
steps) and take turns in one process, so that a busy machine slows both. The loop is a training run, recorder and
TensorBoard included, in a temporary folder; online evaluation is off, and no model or checkpoint falls due within it.
The bare update is `algorithm.learn` on one fixed batch. Exits with 1 where the loop reaches less than 0.7 of its rate.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from algos.base import Algorithm
from algos.data import Batch, LearnOutput
from framework.experiment import Experiment
from framework.settings.compose import compose

LIMIT = 0.7
LAYERS = [{"layer_type": "linear", "layer_size": [256], "activation": "relu"}] * 2
SETTINGS = {
    "algo_cfg.value_layers": str(LAYERS).replace("'", ""),
    "algo_cfg.batch_size": 64,
    "algo_cfg.lr": 1e-4,
    "algo_cfg.gamma": 0.95,
    "algo_cfg.target_update": 4,
    "algo_cfg.buffer_size": 100_000,
    "env_cfg.id": "CartPole-v1",
    "general_cfg.max_step": 200,
    "general_cfg.online_eval": "false",
    "general_cfg.model_save_fre": 10**9,
    "general_cfg.progress": "off",
    "general_cfg.save_fig": "false",
}


class Alternate:
    """Stands before an algorithm's `learn`: stops the loop after every `updates` of its updates, lets a twin of the
    algorithm make as many on one fixed batch, and notes the rates of both."""

    def __init__(self, algorithm: Algorithm, twin: Algorithm, updates: int):
        self.learn, self.twin, self.updates = algorithm.learn, twin, updates
        self.calls, self.start = 0, 0.0
        self.ratios: list[float] = []
        algorithm.learn = self  # type: ignore[method-assign,assignment]

    def __call__(self, batch: Batch) -> LearnOutput:
        if self.calls % self.updates == 0:
            loop_time = time.perf_counter() - self.start
            bare_time = self._bare(batch)
            if self.calls > self.updates:  # the first round is the warm-up: compiler, caches, the decay of epsilon
                self._note(self.updates / loop_time, self.updates / bare_time)
            self.start = time.perf_counter()
        self.calls += 1
        return self.learn(batch)

    def _bare(self, batch: Batch) -> float:
        start = time.perf_counter()
        for _ in range(self.updates):
            self.twin.learn(batch)
        return time.perf_counter() - start

    def _note(self, loop: float, bare: float) -> None:
        self.ratios.append(loop / bare)
        print(f"round {len(self.ratios):2}: loop {loop:7.1f}/s  bare update {bare:7.1f}/s  ratio {loop / bare:.3f}")


def main() -> int:
    """Print each round and the ratios; the exit status says whether the mean ratio is high enough."""
    parser = argparse.ArgumentParser(description="rate of DQN's training loop against its bare update")
    parser.add_argument("--compile", action="store_true", help="the whole update as one compiled graph")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=500, help="updates of each side in a round")
    args = parser.parse_args()
    logging.getLogger("joyride").setLevel(logging.ERROR)
    steps = (args.rounds + 1) * args.updates + 64  # the first batch of 64 must be in before the first update
    with tempfile.TemporaryDirectory() as folder:
        run = {**SETTINGS, "general_cfg.tasks_dir": folder, "general_cfg.max_env_step": steps}
        overrides = ["algo_name=DQN", f"algo_cfg.compile={args.compile}", *(f"{k}={v}" for k, v in run.items())]
        experiment, twin = (Experiment.from_config(compose(overrides)) for _ in range(2))
        ratios = Alternate(experiment.algorithm, twin.algorithm, args.updates).ratios
        experiment.train()
    print(f"ratio: mean {mean(ratios):.3f}, min {min(ratios):.3f} (at least {LIMIT} is required)")
    return int(mean(ratios) < LIMIT)


if __name__ == "__main__":
    sys.exit(main())

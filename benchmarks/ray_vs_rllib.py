"""Env steps/s of PPO on CartPole-v1 with two workers: this trainer with Ray against RLlib of the same Ray release.

    python3 -m venv /tmp/rllib-venv && /tmp/rllib-venv/bin/pip install "ray[rllib]==2.60.0" torch==2.13.0
    python benchmarks/ray_vs_rllib.py --rllib-python /tmp/rllib-venv/bin/python [--rounds 3] [--steps 200000]

RLlib needs packages that this project does not, so its side runs in an interpreter of its own, which executes this
file with --rllib-side. Both sides have the settings of RL Zoo, but a constant learning rate and clip: 2 workers x 4
envs x 32 steps, 20 epochs, minibatches of 256 (one an epoch), lr 1e-3, gamma 0.98, lambda 0.8, clip 0.2, gradients
clipped to 0.5, value loss x 0.5, no entropy bonus, no KL loss, 2 x 64 tanh for the policy and for the value, one
torch thread. RLlib has its new API stack, 2 env runners, and its learner in the driver's process; ours has
sync=async. Neither evaluates.

The sides take turns, each in a fresh process, and each is timed after a warm-up in which the policy has learned, as
rates change while episodes grow longer. Updates per 1000 env steps are printed, since a rate means nothing if one
side learns less: 78.1 are asked for (RLlib samples 258 steps for a batch of 256 and makes 21 updates of them, which
is 81). Exits with 1 if the mean ratio is below 3, or ours makes fewer updates.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WORKERS, ENVS, STEPS, EPOCHS = 2, 4, 32, 20
BATCH = WORKERS * ENVS * STEPS
ASKED = 3.0  # ratio of the rates
UPDATES = 1000 * EPOCHS / BATCH  # an update of 256 rows each epoch, per 1000 env steps
OURS = {
    "algo_name": "PPO",
    "env_cfg.id": "CartPole-v1",
    "mp_backend": "ray",
    "sync": "async",
    "n_workers": WORKERS,
    "n_envs": ENVS,
    "algo_cfg.n_steps": STEPS,
    "algo_cfg.n_epochs": EPOCHS,
    "algo_cfg.batch_size": BATCH,
    "algo_cfg.lr": 1e-3,
    "algo_cfg.gamma": 0.98,
    "algo_cfg.gae_lambda": 0.8,
    "algo_cfg.clip": 0.2,
    "algo_cfg.max_grad_norm": 0.5,
    "online_eval": False,
    "model_save_fre": 10**7,
}


@dataclass
class Side:
    """What one side reached in its window: rate of env steps, updates per 1000 of them, return of the last episodes."""

    rate: float
    updates: float
    reward: float


def ours(steps: int) -> Side:
    """Train for `steps` env steps; the first quarter is the warm-up."""
    from benchmarks.ray_parts import QUIET, rows, train

    with tempfile.TemporaryDirectory() as scratch:
        run = train({**QUIET, **OURS, "max_env_step": steps}, Path(scratch))
        table, episodes = rows(run, "updates"), rows(run, "episodes")
    names = ("env_step", "update_step", "wall_time")
    steady = [row for row in table if int(row["env_step"]) >= steps / 4]
    env_steps, updates, seconds = (float(steady[-1][name]) - float(steady[0][name]) for name in names)
    reward = mean(float(row["reward"]) for row in episodes[-100:])
    return Side(env_steps / seconds, 1000 * updates / env_steps, reward)


def rllib(python: str, steps: int, seconds: float) -> Side:
    """RLlib's side, run by its own interpreter: `steps` env steps of warm-up, then a window of `seconds`."""
    script = str(Path(__file__).resolve())
    arguments = [python, script, "--rllib-side", "--steps", str(steps), "--seconds", str(seconds)]
    with tempfile.TemporaryDirectory() as empty:  # its workers import from where they stand
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=600 + seconds, cwd=empty)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"rate"')]
    if done.returncode or not lines:
        raise RuntimeError(f"RLlib's side ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return Side(**json.loads(lines[-1]))


def rllib_side(warm_up: int, seconds: float) -> None:
    """Run by RLlib's interpreter: train, print one line of JSON."""
    import logging

    import ray
    import torch

    torch.set_num_threads(1)  # faster here than torch's own choice, like for our side
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    algorithm = rllib_config().build_algo()
    result = algorithm.train()
    while _steps(result) < warm_up:
        result = algorithm.train()
    start, before, updates, rewards = time.perf_counter(), _steps(result), 0, []
    while time.perf_counter() - start < seconds:
        result = algorithm.train()
        learner = result["learners"]["default_policy"]
        updates += round(learner["num_module_steps_trained"] / learner["module_train_batch_size_mean"])
        rewards.append(result["env_runners"].get("episode_return_mean", float("nan")))
    steps = _steps(result) - before
    elapsed = time.perf_counter() - start
    known = [reward for reward in rewards[-100:] if reward == reward]
    side = Side(steps / elapsed, 1000 * updates / steps, sum(known) / len(known) if known else float("nan"))
    print(json.dumps(asdict(side)), flush=True)
    algorithm.stop()
    ray.shutdown()


def _steps(result: dict[str, Any]) -> int:
    return int(result["env_runners"]["num_env_steps_sampled_lifetime"])


def rllib_config() -> Any:
    """The same experiment in RLlib's words."""
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    nets = DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh", vf_share_layers=False)
    return (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=WORKERS, num_envs_per_env_runner=ENVS)
        .learners(num_learners=0)
        .rl_module(model_config=nets)
        .reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)  # else it trains on for a while
        .training(
            train_batch_size_per_learner=BATCH,
            minibatch_size=BATCH,
            num_epochs=EPOCHS,
            lr=1e-3,
            gamma=0.98,
            lambda_=0.8,
            clip_param=0.2,
            grad_clip=0.5,
            grad_clip_by="global_norm",
            vf_loss_coeff=0.5,
            vf_clip_param=float("inf"),
            entropy_coeff=0.0,
            use_kl_loss=False,
        )
    )


def main() -> int:
    """Print each round and the mean ratio; the exit code says whether ours is fast enough and learns as much."""
    parser = argparse.ArgumentParser(description="env steps/s of PPO with Ray against RLlib's")
    parser.add_argument("--rllib-python", help="interpreter that has ray[rllib]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200_000, help="env steps of one of our runs, with its warm-up")
    parser.add_argument("--warm-up", type=int, default=30_000, help="env steps of RLlib's warm-up")
    parser.add_argument("--seconds", type=float, default=20.0, help="RLlib's window")
    parser.add_argument("--rllib-side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rllib_side:
        rllib_side(options.steps, options.seconds)
        return 0
    if not options.rllib_python:
        parser.error("--rllib-python is needed: see the head of this file")
    ratios, fewest = [], UPDATES
    for number in range(1, options.rounds + 1):
        load = os.getloadavg()[0]
        theirs, own = rllib(options.rllib_python, options.warm_up, options.seconds), ours(options.steps)
        ratios.append(own.rate / theirs.rate)
        fewest = min(fewest, own.updates)
        words = [
            f"{name} {side.rate:7.1f}/s ({side.updates:.1f} updates per 1000, return {side.reward:.0f})"
            for name, side in (("RLlib", theirs), ("ours", own))
        ]
        print(f"round {number} (load {load:.1f}): {', '.join(words)}, ratio {ratios[-1]:.2f}", flush=True)
    print(f"ratio: mean {mean(ratios):.2f}, min {min(ratios):.2f} (at least {ASKED:g} is required)")
    return int(mean(ratios) < ASKED or fewest < 0.98 * UPDATES)


if __name__ == "__main__":
    sys.exit(main())

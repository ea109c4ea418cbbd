"""DQN or PPO of a task by RLlib, everything in one process: prints the marks that `speed.py` reads.

.peers/rllib/bin/python benchmarks/peers/rllib_peer.py <task> [--seed 1]

What it has no setting for: PPO's clip range does not decay, its advantages are normalised over the rollout instead of
each minibatch. Tasks on images, to a score, and with two critics are not run. Its peak memory is that of this process,
without those that Ray starts beside it.
"""

import argparse
import logging
from typing import Any

import ray
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env
from speed_tasks import TASKS, Marks

ABLE = [name for name, task in TASKS.items() if task.algo in ("DQN", "PPO") and not task.image and task.score is None]
parser = argparse.ArgumentParser()
parser.add_argument("task", choices=ABLE)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
task = TASKS[args.task]
cfg = {**task.kwargs, **task.beyond}
torch.set_num_threads(task.threads)
mark, made = Marks(), 0


class Watch(RLlibCallback):
    """Marks after each fragment of steps, in the process that makes them: this one."""

    def on_sample_end(self, *, samples: list[Any], **_: Any) -> None:
        global made
        made += sum(len(episode) for episode in samples)
        mark(made)


def decayed(value: Any) -> Any:
    """ "lin_x" as a schedule over the run."""
    if not isinstance(value, str):
        return value
    return [[0, float(value.removeprefix("lin_"))], [task.steps, 0.0]]


def number(value: Any) -> float:
    return float(value.removeprefix("lin_")) if isinstance(value, str) else value


def ppo() -> AlgorithmConfig:
    rollout = cfg["n_steps"] * task.n_envs
    config = PPOConfig().training(
        lr=decayed(cfg.get("learning_rate", 3e-4)), gamma=cfg["gamma"], lambda_=cfg["gae_lambda"],
        train_batch_size=rollout, minibatch_size=cfg["batch_size"], num_epochs=cfg["n_epochs"],
        clip_param=number(cfg.get("clip_range", 0.2)), vf_clip_param=float("inf"), vf_loss_coeff=0.5,
        entropy_coeff=cfg.get("ent_coef", 0.0), use_kl_loss=False, kl_coeff=0.0, grad_clip=0.5,
        grad_clip_by="global_norm",
    )  # fmt: skip
    return config.rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], vf_share_layers=False))


def dqn() -> AlgorithmConfig:
    model = DefaultModelConfig(fcnet_hiddens=cfg["policy_kwargs"]["net_arch"], fcnet_activation="relu")
    decay = [[0, 1.0], [int(cfg["exploration_fraction"] * task.steps), cfg["exploration_final_eps"]]]
    config = DQNConfig().training(
        lr=cfg["learning_rate"], gamma=cfg["gamma"], train_batch_size=cfg["batch_size"], grad_clip_by="global_norm",
        training_intensity=cfg["batch_size"] * cfg["gradient_steps"] / cfg["train_freq"], epsilon=decay,
        target_network_update_freq=cfg["target_update_interval"], double_q=False, dueling=False, n_step=1,
        num_steps_sampled_before_learning_starts=cfg["learning_starts"], grad_clip=cfg.get("max_grad_norm", 10.0),
        td_error_loss_fn=cfg.get("loss", "huber"),
        replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": cfg["buffer_size"]},
    )  # fmt: skip
    # what one call of train() makes at the least, so that its bookkeeping does not come with every step
    config.reporting(min_sample_timesteps_per_iteration=max(1000, cfg["train_freq"]))
    return config.rl_module(model_config=model).env_runners(rollout_fragment_length=cfg["train_freq"])


def main() -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    register_env("task", lambda _: task.make_env())
    config = ppo() if task.algo == "PPO" else dqn()
    config.environment("task").framework("torch").debugging(seed=args.seed, log_level="ERROR").callbacks(Watch)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=task.n_envs, create_local_env_runner=True)
    config.learners(num_learners=0, num_gpus_per_learner=0)
    algorithm = config.build_algo()
    while made < task.steps:
        algorithm.train()
    mark(made, last=True)
    algorithm.stop()
    ray.shutdown()


main()

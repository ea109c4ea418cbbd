"""A task by Tianshou 2: prints the marks that `speed.py` reads.

.peers/tianshou/bin/python benchmarks/peers/tianshou_peer.py <task> [--seed 1]

What it has no setting for: its DQN does not clip gradients, its PPO's clip range does not decay. Episodes that are cut
"""

import argparse
import random
from typing import Any

import gymnasium
import numpy as np
import torch
from speed_tasks import TASKS, Marks
from tianshou.algorithm import DQN, PPO, SAC, TD3
from tianshou.algorithm.modelfree.ddpg import ContinuousDeterministicPolicy
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.modelfree.sac import AutoAlpha, SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory, LRSchedulerFactoryLinear
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams, OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorDeterministic, ContinuousActorProbabilistic, ContinuousCritic
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("task", choices=TASKS)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
task = TASKS[args.task]
cfg = {**task.kwargs, **task.beyond}
rate = cfg.get("learning_rate", 3e-4)
LR = float(rate.removeprefix("lin_")) if isinstance(rate, str) else rate

random.seed(args.seed)
np.random.seed(args.seed)
torch.manual_seed(args.seed)
torch.set_num_threads(task.threads)
if task.image:
    import ale_py

    gymnasium.register_envs(ale_py)

mark = Marks()
envs = DummyVectorEnv([task.make_env] * task.n_envs)
envs.seed(args.seed)
one = task.make_env()  # the vector tells the spaces of the innermost environment, without its wrappers
spaces: dict[str, Any] = {"action_space": one.action_space, "observation_space": one.observation_space}
obs_shape: Any = one.observation_space.shape
shape: Any = one.action_space.n if task.algo in ("DQN", "PPO") else one.action_space.shape
hidden = cfg.get("policy_kwargs", {}).get("net_arch")


def adam(**more: Any) -> AdamOptimizerFactory:
    return AdamOptimizerFactory(lr=LR, **more)


def q_network() -> nn.Module:
    if not task.image:
        return Net(state_shape=obs_shape, action_shape=shape, hidden_sizes=hidden)
    from tianshou.env.atari.atari_network import DQNet, ScaledObsInputActionReprNet

    return ScaledObsInputActionReprNet(DQNet(*obs_shape, action_shape=shape))


def make_dqn() -> DQN:
    per_step = cfg["gradient_steps"] / cfg["train_freq"]
    return DQN(
        policy=DiscreteQLearningPolicy(model=q_network(), eps_training=1.0, **spaces),
        optim=adam(),
        gamma=cfg["gamma"],
        target_update_freq=max(cfg["gradient_steps"], round(cfg["target_update_interval"] * per_step)),
        is_double=False,
        huber_loss_delta=None if cfg.get("loss") == "mse" else 1.0,
    )


def critic() -> ContinuousCritic:
    inputs = Net(state_shape=obs_shape, action_shape=shape, hidden_sizes=hidden, concat=True)
    return ContinuousCritic(preprocess_net=inputs)


def make_sac() -> SAC:
    body = Net(state_shape=obs_shape, hidden_sizes=hidden)
    actor = ContinuousActorProbabilistic(
        preprocess_net=body, action_shape=shape, unbounded=True, conditioned_sigma=True
    )
    return SAC(
        policy=SACPolicy(actor=actor, **spaces), policy_optim=adam(), critic=critic(), critic_optim=adam(),
        critic2=critic(), gamma=cfg["gamma"], alpha=AutoAlpha(-float(np.prod(shape)), 0.0, adam()),
    )  # fmt: skip


def make_td3() -> TD3:
    actor = ContinuousActorDeterministic(
        preprocess_net=Net(state_shape=obs_shape, hidden_sizes=hidden), action_shape=shape
    )
    policy = ContinuousDeterministicPolicy(actor=actor, exploration_noise="default", **spaces)
    return TD3(
        policy=policy, policy_optim=adam(), critic=critic(), critic_optim=adam(), critic2=critic(), gamma=cfg["gamma"]
    )


def make_ppo() -> PPO:
    optim = adam(eps=1e-5)
    if isinstance(rate, str):
        rollout = cfg["n_steps"] * task.n_envs
        optim.with_lr_scheduler_factory(LRSchedulerFactoryLinear(1, task.steps, rollout))
    bodies = [Net(state_shape=obs_shape, hidden_sizes=[64, 64], activation=nn.Tanh) for _ in range(2)]
    actor = DiscreteActor(preprocess_net=bodies[0], action_shape=shape, softmax_output=False)
    clip = cfg.get("clip_range", 0.2)
    return PPO(
        policy=DiscreteActorPolicy(actor=actor, deterministic_eval=True, **spaces),
        critic=DiscreteCritic(preprocess_net=bodies[1]),
        optim=optim,
        eps_clip=float(clip.removeprefix("lin_")) if isinstance(clip, str) else clip,
        ent_coef=cfg.get("ent_coef", 0.0),
        max_grad_norm=0.5,
        gae_lambda=cfg["gae_lambda"],
        gamma=cfg["gamma"],
    )


algorithm: Any = {"DQN": make_dqn, "SAC": make_sac, "TD3": make_td3, "PPO": make_ppo}[task.algo]()
on_policy = task.algo == "PPO"
size = cfg["n_steps"] * task.n_envs if on_policy else cfg["buffer_size"]
collector = Collector(algorithm, envs, VectorReplayBuffer(size, task.n_envs), exploration_noise=True)
collector.reset()
warm = 0 if on_policy else cfg["learning_starts"]
made = 0


def watch(_: int, steps: int) -> None:
    """Called before each rollout: marks the steps so far; DQN explores less and less."""
    global made
    made = warm + steps
    if made:
        mark(made)
    if task.algo == "DQN":
        left = 1 - made / (cfg["exploration_fraction"] * task.steps)
        algorithm.policy.set_eps_training(max(cfg["exploration_final_eps"], left))


if warm:
    collector.collect(n_step=1, random=True)
    mark(1)
    collector.collect(n_step=warm - 1, random=True)
common: dict[str, Any] = {
    "training_collector": collector, "batch_size": cfg["batch_size"], "training_fn": watch, "verbose": False,
    "show_progress": False,
}  # fmt: skip
if task.score is None:
    common.update(max_epochs=1, epoch_num_steps=task.steps - warm)
else:
    threshold = task.score
    common.update(
        max_epochs=-(-task.steps // task.every), epoch_num_steps=task.every, test_step_num_episodes=20,
        test_collector=Collector(algorithm, DummyVectorEnv([task.make_env])), stop_fn=lambda found: found >= threshold,
    )  # fmt: skip
if on_policy:
    params: Any = OnPolicyTrainerParams(
        **common, collection_step_num_env_steps=size, update_step_num_repetitions=cfg["n_epochs"]
    )
else:
    params = OffPolicyTrainerParams(
        **common, collection_step_num_env_steps=cfg["train_freq"],
        update_step_num_gradient_steps_per_sample=cfg["gradient_steps"] / cfg["train_freq"],
    )  # fmt: skip
result = algorithm.run_training(params)
mark(warm + result.train_step, last=True)

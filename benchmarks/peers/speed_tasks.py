"""The tasks of `speed.py`: the same settings in Joyride's words and in Stable-Baselines3's, which SBX shares.

No import beyond the standard library: every peer reads this file with an interpreter of its own.
"""

from dataclasses import dataclass
from typing import Any

LAYER = "{layer_type: linear, layer_size: [256], activation: relu}"
SEED_WORDS = [
    "algo_name=DQN", "id=CartPole-v1", "max_step=200", "lr=1e-4", "gamma=0.95", "algo_cfg.batch_size=64",
    "algo_cfg.train_freq=1", "algo_cfg.buffer_size=100000", "algo_cfg.target_update=4", "algo_cfg.epsilon_decay=500",
    f"algo_cfg.value_layers=[{LAYER}, {LAYER}]",
]  # fmt: skip
PPO_CARTPOLE = {
    "n_steps": 32, "n_epochs": 20, "batch_size": 256, "gamma": 0.98, "gae_lambda": 0.8,
    "learning_rate": "lin_1e-3", "clip_range": "lin_0.2",
}  # fmt: skip
DQN_ZOO = {
    "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000, "gamma": 0.99,
    "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128, "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04, "policy_kwargs": {"net_arch": [256, 256]},
}  # fmt: skip
DQN_SEED = {
    "learning_rate": 1e-4, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 64, "gamma": 0.95,
    "target_update_interval": 4, "train_freq": 1, "gradient_steps": 1, "exploration_fraction": 0.1,
    "exploration_final_eps": 0.01, "policy_kwargs": {"net_arch": [256, 256]},
}  # fmt: skip
OFF_POLICY = {
    "learning_rate": 1e-3, "batch_size": 256, "buffer_size": 1_000_000, "learning_starts": 100, "train_freq": 1,
    "gamma": 0.99,
    "gradient_steps": 1, "policy_kwargs": {"net_arch": [256, 256]},
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One task: `words` are Joyride's command line, the rest is a peer's; both make `steps` env steps."""

    words: list[str]
    algo: str
    env: str
    kwargs: dict[str, Any]
    steps: int
    n_envs: int = 1
    threads: int = 1
    max_step: int | None = None
    score: float | None = None  # ends once 20 deterministic episodes have this mean; looked at every `every` steps
    every: int = 0


def _two(algo: str) -> Task:
    words = f"preset=Pendulum-v1/{algo} algo_cfg.actor_lr=1e-3 algo_cfg.critic_lr=1e-3 gamma=0.99"
    more = "algo_cfg.learning_starts=100 algo_cfg.train_freq=1 algo_cfg.gradient_steps=1"
    more += " algo_cfg.batch_size=256 algo_cfg.buffer_size=1000000"
    layers = [f"algo_cfg.{part}_layers=[{LAYER}, {LAYER}]" for part in ("actor", "critic")]
    return Task([*words.split(), *more.split(), *layers], algo, "Pendulum-v1", OFF_POLICY, 6_000, threads=2)


TASKS = {
    "dqn-seed": Task(SEED_WORDS, "DQN", "CartPole-v1", DQN_SEED, 20_000, max_step=200),
    "dqn-zoo": Task(["preset=CartPole-v1/DQN"], "DQN", "CartPole-v1", DQN_ZOO, 50_000),
    "ppo-cartpole": Task(["preset=CartPole-v1/PPO"], "PPO", "CartPole-v1", PPO_CARTPOLE, 100_000, n_envs=8),
    "ppo-lunarlander": Task(
        ["preset=LunarLander-v3/PPO"], "PPO", "LunarLander-v3",
        {"n_steps": 1024, "n_epochs": 4, "batch_size": 64, "gamma": 0.999, "gae_lambda": 0.98, "ent_coef": 0.01},
        131_072, n_envs=16,
    ),
    "sac-pendulum": _two("SAC"),
    "td3-pendulum": _two("TD3"),
    "solve-cartpole": Task(
        ["preset=CartPole-v1/PPO", "reward_threshold=500"], "PPO", "CartPole-v1", PPO_CARTPOLE, 100_000, n_envs=8,
        score=500, every=5_120,
    ),
    "tabular": Task(["algo_name=QLearning", "id=CliffWalking-v1"], "", "CliffWalking-v1", {}, 200_000),
}  # fmt: skip

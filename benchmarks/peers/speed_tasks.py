"""The tasks of `speed.py`: the same settings in Joyride's words and in Stable-Baselines3's, which all peers read.

No import beyond the standard library: every peer reads this file with an interpreter of its own.
"""

import time
from dataclasses import dataclass, field
from typing import Any

LAYER = "{layer_type: linear, layer_size: [256], activation: relu}"
SEED_WORDS = [
    "algo_name=DQN", "id=CartPole-v1", "max_step=200", "lr=1e-4", "gamma=0.95", "algo_cfg.batch_size=64",
    "algo_cfg.train_freq=1", "algo_cfg.buffer_size=100000", "algo_cfg.target_update=4", "algo_cfg.epsilon_decay=500",
    f"algo_cfg.value_layers=[{LAYER}, {LAYER}]",
]  # fmt: skip
IMAGE_WORDS = [
    "preset=PongNoFrameskip-v4/DQN", "algo_cfg.buffer_size=10000", "algo_cfg.learning_starts=500",
    "algo_cfg.epsilon_decay=1500",
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
DQN_IMAGES = {
    "learning_rate": 1e-4, "batch_size": 32, "buffer_size": 10_000, "learning_starts": 500, "gamma": 0.99,
    "target_update_interval": 1000, "train_freq": 4, "gradient_steps": 1, "exploration_fraction": 0.5,
    "exploration_final_eps": 0.01, "max_grad_norm": 0.5,
}  # fmt: skip
OFF_POLICY = {
    "learning_rate": 1e-3, "batch_size": 256, "buffer_size": 1_000_000, "learning_starts": 100, "gamma": 0.99,
    "train_freq": 1, "gradient_steps": 1, "policy_kwargs": {"net_arch": [256, 256]},
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
    beyond: dict[str, Any] = field(default_factory=dict)  # of `words`, what Stable-Baselines3 has no setting for
    image: bool = False  # an Atari game: grey 84 x 84, 4 frames per action, 4 screens stacked
    score: float | None = None  # ends once 20 deterministic episodes have this mean; looked at every `every` steps
    every: int = 0

    def make_env(self) -> Any:
        """One environment, for peers that bring no wrappers of their own."""
        import gymnasium

        if not self.image:
            return gymnasium.make(self.env, **({} if self.max_step is None else {"max_episode_steps": self.max_step}))
        env = gymnasium.wrappers.AtariPreprocessing(
            gymnasium.make(self.env)
        )  # the game is there once ale_py is imported
        return gymnasium.wrappers.FrameStackObservation(env, 4)


class Marks:
    """Prints `MARK <unix time> <env steps>` at its first call, then at most ten times a second."""

    next = 0.0

    def __call__(self, steps: int, last: bool = False) -> None:
        now = time.time()
        if now >= self.next or last:
            self.next = now + 0.1
            print(f"MARK {now} {steps}", flush=True)


def _two(algo: str) -> Task:
    given = f"preset=Pendulum-v1/{algo} algo_cfg.actor_lr=1e-3 algo_cfg.critic_lr=1e-3 algo_cfg.batch_size=256"
    more = "algo_cfg.buffer_size=1000000 algo_cfg.learning_starts=100 algo_cfg.train_freq=1 algo_cfg.gradient_steps=1"
    layers = [f"algo_cfg.{part}_layers=[{LAYER}, {LAYER}]" for part in ("actor", "critic")]
    return Task(
        [*given.split(), *more.split(), "gamma=0.99", *layers], algo, "Pendulum-v1", OFF_POLICY, 20_000, threads=2
    )


TASKS = {
    "dqn-seed": Task(
        SEED_WORDS, "DQN", "CartPole-v1", DQN_SEED, 20_000, max_step=200, beyond={"loss": "mse", "max_grad_norm": None}
    ),
    "dqn-images": Task(
        IMAGE_WORDS, "DQN", "PongNoFrameskip-v4", DQN_IMAGES, 3_000, beyond={"loss": "mse"}, image=True
    ),
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
        ["preset=CartPole-v1/PPO_QUICK"], "PPO", "CartPole-v1", PPO_CARTPOLE, 100_000, n_envs=8,
        score=500, every=5_120,
    ),
    "tabular": Task(
        ["preset=CliffWalking-v1/QLearning", "n_envs=64", "vectorization=native"], "", "CliffWalking-v1", {}, 1_000_000
    ),
    "tabular-alone": Task(["preset=CliffWalking-v1/QLearning"], "", "CliffWalking-v1", {}, 100_000),
}  # fmt: skip

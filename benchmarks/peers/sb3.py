"""A task by Stable-Baselines3, or by SBX with `--sbx`: prints the marks that `speed.py` reads.

<its python> benchmarks/peers/sb3.py <task> [--sbx] [--seed 1]
"""

import argparse
from typing import Any

from speed_tasks import TASKS, Marks

parser = argparse.ArgumentParser()
parser.add_argument("task", choices=TASKS)
parser.add_argument("--sbx", action="store_true")
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
task = TASKS[args.task]

import torch  # noqa: E402

torch.set_num_threads(task.threads)
if args.sbx:
    import sbx as library
else:
    import stable_baselines3 as library  # type: ignore[no-redef]
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.env_util import make_atari_env, make_vec_env  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack  # noqa: E402


def scheduled(value: Any) -> Any:
    """ "lin_x" is x times what is left of the run."""
    if not isinstance(value, str):
        return value
    start = float(value.removeprefix("lin_"))
    return lambda left: left * start


mark = Marks()


class Watch(BaseCallback):
    """Marks, and looks at the score."""

    look = task.every

    def _on_step(self) -> bool:
        mark(self.num_timesteps)
        if task.score is not None and self.num_timesteps >= self.look:
            self.look += task.every
            found, _ = evaluate_policy(self.model, test_env, n_eval_episodes=20)
            return bool(found < task.score)
        return True


def make(n_envs: int, seed: int) -> VecEnv:
    """The task's environments, side by side."""
    if task.image:
        import ale_py
        import gymnasium

        gymnasium.register_envs(ale_py)
        plain = {"terminal_on_life_loss": False, "clip_reward": False}
        return VecFrameStack(make_atari_env(task.env, n_envs, seed=seed, wrapper_kwargs=plain), 4)
    kwargs: dict[str, Any] = {} if task.max_step is None else {"max_episode_steps": task.max_step}
    return make_vec_env(task.env, n_envs, seed=seed, env_kwargs=kwargs)


env = make(task.n_envs, args.seed)
test_env = make(1, args.seed + 1000) if task.score is not None else None
settings = {key: scheduled(value) for key, value in task.kwargs.items()}
if args.sbx and task.algo == "DQN":
    settings.pop("max_grad_norm", None)  # SBX's DQN does not clip
device = {} if args.sbx else {"device": "cpu"}
model = getattr(library, task.algo)(
    "CnnPolicy" if task.image else "MlpPolicy", env, seed=args.seed, **device, **settings
)
model.learn(task.steps, callback=Watch())
mark(model.num_timesteps, last=True)

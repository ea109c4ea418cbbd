"""A task by Stable-Baselines3, or by SBX with `--sbx`: prints the marks that `speed.py` reads.

<its python> benchmarks/peers/sb3.py <task> [--sbx] [--seed 1]
"""

import argparse
import time
from typing import Any

from speed_tasks import TASKS

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
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402


def scheduled(value: Any) -> Any:
    """ "lin_x" is x times what is left of the run."""
    if not isinstance(value, str):
        return value
    start = float(value.removeprefix("lin_"))
    return lambda left: left * start


class Marks(BaseCallback):
    """As `benchmarks/peers/joyride.py`; also looks at the score."""

    next, look = 0.0, task.every

    def _on_step(self) -> bool:
        now = time.time()
        if now >= self.next:
            self.next = now + 0.1
            print(f"MARK {now} {self.num_timesteps}", flush=True)
        if task.score is not None and self.num_timesteps >= self.look:
            self.look += task.every
            found, _ = evaluate_policy(self.model, test_env, n_eval_episodes=20)
            return bool(found < task.score)
        return True


kwargs: dict[str, Any] = {} if task.max_step is None else {"max_episode_steps": task.max_step}
env = make_vec_env(task.env, task.n_envs, seed=args.seed, env_kwargs=kwargs)
test_env = make_vec_env(task.env, 1, seed=args.seed + 1000, env_kwargs=kwargs)
settings = {key: scheduled(value) for key, value in task.kwargs.items()}
device = {} if args.sbx else {"device": "cpu"}
model = getattr(library, task.algo)("MlpPolicy", env, seed=args.seed, **device, **settings)
model.learn(task.steps, callback=Marks())
print(f"MARK {time.time()} {model.num_timesteps}", flush=True)

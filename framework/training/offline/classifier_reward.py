"""A wrapper that rewards what a classifier of success says."""

import multiprocessing
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from algos.base import Policy
from algos.common.errors import UserError
from algos.common.trees import tree_map
from algos.registry import acts
from framework.runs.models import find_model, load_into, read_model
from framework.settings.compose import compose, to_override
from framework.training.build import build_algorithm
from framework.training.offline.environments import KnownSpaces


class ClassifierReward(gym.Wrapper):
    """Reward 1 and the end of the episode where a classifier gives success a probability of at least `threshold`, else
    reward 0. The environment's own end stays one.

    `model` is the run of a SuccessClassifier, its path, or a model file; `step` best, last or an update. The info tells
    `is_success` and `success`, the `success_probability`, and what the environment said: `env_reward`, `env_success`.
    One forward pass a step, on the CPU. Raises UserError for what is no such model, or one of other observations.
    """

    def __init__(
        self, env: gym.Env, model: str, threshold: float = 0.5, step: str = "best", tasks_dir: str = "tasks"
    ) -> None:
        super().__init__(env)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
            raise UserError(f"ClassifierReward: threshold={threshold} must be a number between 0 and 1")
        self.threshold = float(threshold)
        path = find_model(model, str(step), tasks_dir).absolute()
        self._judge = _loaded(path, path.stat().st_mtime_ns, _Spaces(env))

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment, judged."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        rows = tree_map(lambda leaf: np.asarray(leaf)[None], obs)
        probability = float(self._judge.act(rows, (), explore=False, step=0)[0][0])
        success = probability >= self.threshold
        own = info.get("is_success", info.get("success"))
        told = {"env_reward": float(reward), "success_probability": probability, "is_success": success}
        info = {**info, **told, "success": success, **({} if own is None else {"env_success": own})}
        return obs, float(success), bool(terminated or success), bool(truncated and not success), info


class _Spaces(KnownSpaces):
    """Spaces of an environment, equal to those of another one like it."""

    def __init__(self, env: gym.Env):
        super().__init__(env.observation_space, env.action_space)
        self.text = f"{env.observation_space} {env.action_space}"

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Spaces) and self.text == other.text


@lru_cache(maxsize=8)  # environments of a process share it: evaluations make theirs anew
def _loaded(path: Path, written: int, envs: _Spaces) -> Policy:
    """What judges, from a model file that was `written` at that time."""
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # one of many processes; and threads that the parent had do not outlive a fork
    saved = read_model(path)
    try:
        of_run = compose([to_override("load_path", str(path)), to_override("tasks_dir", str(path.parent)), "mode=test"])
    except UserError as error:  # a run's config.yaml could say that it trusts itself, so nothing here can
        text = str(error).replace("look at that code, then add trust=true", "a reward is not computed by such code")
        raise UserError(f"ClassifierReward: {text.replace('general_cfg.load_path', f'model={path}')}") from error
    if acts(of_run.algo_cfg):
        raise UserError(
            f"ClassifierReward: {path} is a model of {of_run.general_cfg.algo_name}, which acts; give a run of a"
            " SuccessClassifier"
        )
    random = torch.get_rng_state()  # what is built here must not change what the run draws
    try:
        algorithm = build_algorithm(of_run, envs, "cpu")  # type: ignore[arg-type]  # it asks for the spaces alone
    except UserError as error:
        raise UserError(f"ClassifierReward: {path} has learned from other observations: {error}") from error
    finally:
        torch.set_rng_state(random)
    load_into(algorithm, saved, path)
    return algorithm.evaluated

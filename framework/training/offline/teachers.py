"""What an algorithm learns from beside its own steps: an expert that it asks, or an expert's episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from algos.base import Algorithm, Policy
from algos.common.dotted_path import import_object
from algos.common.errors import UserError
from algos.common.trees import Tree, tree_leaves, tree_map
from framework.datasets.words import policy_of
from framework.runs.models import find_model, load_into, read_model
from framework.settings.compose import compose, to_override
from framework.settings.schema import Config
from framework.training.environments import Environments
from framework.training.offline.parts import demonstrations

Build = Callable[[Config, Environments, str], Algorithm]


class AskedFunction(Policy):
    """A function of one observation that returns one action, as the environment has both, as a policy."""

    def __init__(self, function: Callable[[Any], Any], action_space: Any, where: str):
        super().__init__(nn.Identity())
        self.function, self.action_space, self.where = function, action_space, where

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        rows = range(len(tree_leaves(obs)[0]))
        actions = [np.asarray(self.function(tree_map(lambda leaf, i=i: leaf[i], obs))) for i in rows]
        space = self.action_space
        for action in actions:
            if action.shape != space.shape:
                raise UserError(
                    f"{self.where} returned an action of shape {list(action.shape)}; the environment has {space}"
                )
        return np.stack(actions).astype(space.dtype), {}, state


def teach(cfg: Config, envs: Environments, algorithm: Algorithm, build: Build, learns: bool = True) -> None:
    """Hand an algorithm what it learns from beside its own steps: an expert (`algo_cfg.expert`, made by `build`), or
    its episodes (`algo_cfg.demo_paths`), unless it only acts here. Raises UserError where it needs them and none are
    named.
    """
    if algorithm.needs_expert:
        algorithm.take_expert(load_expert(cfg, envs, algorithm.device, build))
    paths = getattr(cfg.algo_cfg, "demo_paths", None)
    if not paths:
        if algorithm.needs_demos:
            raise UserError(
                f"{cfg.general_cfg.algo_name} imitates an expert: name its episodes in algo_cfg.demo_paths, a run of"
                " mode=collect, a file or several of them"
            )
        return
    if type(algorithm).take_demos is Algorithm.take_demos:
        return
    demos = demonstrations(cfg, envs, algorithm.policy) if learns else None
    if demos is not None:
        algorithm.take_demos(demos.rows(np.arange(demos.size), 0))


def load_expert(cfg: Config, envs: Environments, device: str, build: Build) -> Policy:
    """The policy of `algo_cfg.expert`: that of a saved run or of a dataset, or a function of an observation by
    its dotted path.

    Raises UserError for what is not there, or acts in another environment.
    """
    name = cfg.algo_cfg.expert
    if not name:
        raise UserError(
            f"{cfg.general_cfg.algo_name} asks an expert: name it in algo_cfg.expert, a saved run or"
            ' "package.module:function"'
        )
    where = f"algo_cfg.expert={name}"
    if ":" in name:
        function = import_object(name, where)
        if not callable(function):
            raise UserError(f"{where} is a {type(function).__name__}, not a function of an observation")
        return AskedFunction(function, envs.action_space, where)
    tasks_dir = cfg.general_cfg.tasks_dir
    key = "algo_cfg.expert"
    path = find_model(policy_of(name, tasks_dir, key), "best", tasks_dir, key)
    of_run = compose([to_override("load_path", str(path)), to_override("tasks_dir", tasks_dir), "mode=test"])
    algorithm = build(of_run, envs, device)
    load_into(algorithm, read_model(path), path)
    return algorithm.evaluated

"""The environments of a run that learns from a dataset: they only evaluate, and may be missing."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError, first_line
from algos.common.trees import Tree, tree_leaves
from algos.registry import acts
from envs.config import EnvConfig
from framework.datasets.columns import Dataset
from framework.datasets.verdicts import HeldOut, dataset_of, held_out
from framework.settings.schema import Config
from framework.training.environments import Environments, EnvObject
from framework.training.seeds import stream

log = logging.getLogger("joyride")


class OfflineEnvironments(Environments):
    """The spaces of a dataset, and where one can be made its environment, for evaluation.

    Where `env_cfg` says nothing, it becomes that of the dataset. An environment that cannot be made is a warning: the
    run trains without evaluation. Raises UserError where the environment's spaces are not the dataset's.
    """

    def __init__(self, cfg: Config, given: EnvObject | None = None):
        self.dataset = dataset_of(cfg.algo_cfg, cfg.general_cfg.tasks_dir)
        if given is None and cfg.env_cfg == EnvConfig():
            for key in ("id", "entry_point", "kwargs", "wrappers", "memory_inputs"):
                value = self.dataset.facts.get("env_id" if key == "id" else key)
                if value is not None:
                    setattr(cfg.env_cfg, key, value)
            if cfg.env_cfg != EnvConfig():
                log.info("the environment is that of the dataset: %s", cfg.env_cfg.id)
        self.missing = ""  # why there is no environment
        self.held_out: HeldOut | None = None  # what a classifier is evaluated on
        general = cfg.general_cfg
        if not acts(cfg.algo_cfg):
            self.missing = f"{general.algo_name} judges observations and does not act"
            self._hold_out(cfg)
        elif not general.online_eval and cfg.env_cfg.render_mode is None:
            self.missing = "general_cfg.online_eval is false"
        else:
            try:
                super().__init__(cfg, given)
                check_spaces(self.dataset, self, "algo_cfg.dataset")
                return
            except _Unlike:
                raise
            except Exception as error:  # whatever a constructor raises: it is not needed to train
                self.missing = f"{cfg.env_cfg.id} cannot be made ({first_line(error)})"
            log.warning("%s: the run trains without evaluation, and no best model is chosen", self.missing)
            general.online_eval, cfg.env_cfg.render_mode = False, None
            general.reward_threshold = None
        self.cfg, self.general, self.given, self.remarks = cfg.env_cfg, general, None, []
        self.obs_space, self.action_space = self.dataset.obs_space, self.dataset.action_space

    def _hold_out(self, cfg: Config) -> None:
        """Find the episodes that are evaluated on; without both kinds of observations there is no evaluation."""
        self.held_out = HeldOut(self.dataset, episodes_held_out(cfg, self.dataset))
        cfg.env_cfg.render_mode = None
        if not cfg.general_cfg.online_eval or self.held_out.has_both():
            return
        log.warning(
            "algo_cfg.holdout=%g: no success could be held out of so few episodes, so nothing tells how good the"
            " classifier is on others", cfg.algo_cfg.holdout,
        )  # fmt: skip
        cfg.general_cfg.online_eval, cfg.general_cfg.reward_threshold = False, None

    def single(self, first: bool) -> Any:
        if self.missing:
            raise UserError(f"there is no environment to play episodes in: {self.missing}")
        return super().single(first)

    def can_be_filmed(self) -> bool:
        return not self.missing and super().can_be_filmed()


@dataclass
class KnownSpaces:
    """Stands where environments would in a process that only learns from a dataset or serves it."""

    obs_space: spaces.Space[Any]
    action_space: spaces.Space[Any]


def episodes_held_out(cfg: Config, dataset: Dataset) -> np.ndarray:
    """Which episodes [E] a run that judges does not learn from, bools: the same in every process of the run."""
    return held_out(dataset, cfg.algo_cfg.holdout, stream(cfg.general_cfg.seed, "holdout"))


def check_spaces(dataset: Dataset, envs: Environments, key: str) -> None:
    """Raise UserError for a dataset, that of the setting `key`, whose shapes are not those of the environments.

    Its dicts, whose keys come in any order, get that of the environments.
    """
    for what, space, name in (("observations", envs.obs_space, "obs"), ("actions", envs.action_space, "action")):
        dataset.columns[name] = _in_order_of(space, dataset.columns[name])
        found = [leaf.shape[1:] for leaf in tree_leaves(dataset.columns[name])]
        wanted = [part.shape for part in _parts(space)]
        if found != wanted:
            raise _Unlike(f"{key}: its {what} have shape {_words(found)}, those of {envs.cfg.id} {_words(wanted)}")


class _Unlike(UserError):
    """A dataset of another environment."""


def _parts(space: spaces.Space[Any]) -> list[Any]:
    """The leaves of a space, in the order of a tree's."""
    if isinstance(space, spaces.Dict):
        return [leaf for part in space.spaces.values() for leaf in _parts(part)]
    if isinstance(space, spaces.Tuple):
        return [leaf for part in space.spaces for leaf in _parts(part)]
    return [space]


def _in_order_of(space: spaces.Space[Any], tree: Tree) -> Tree:
    if isinstance(space, spaces.Dict) and isinstance(tree, dict) and space.spaces.keys() == tree.keys():
        return {key: _in_order_of(part, tree[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple) and isinstance(tree, tuple) and len(space.spaces) == len(tree):
        return tuple(_in_order_of(part, leaf) for part, leaf in zip(space.spaces, tree, strict=True))
    return tree


def _words(shapes: list[Any]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)

"""The environments of a run that learns from a dataset: they only evaluate, and may be missing."""

import logging
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError, first_line
from algos.common.trees import Tree, tree_map
from algos.registry import acts
from envs.config import EnvConfig
from framework.data.frames import other_pixels
from framework.datasets.columns import Dataset
from framework.datasets.environment import code_of, environment_of
from framework.datasets.faults import Fault, leaves, outside, part_of, place
from framework.datasets.verdicts import HeldOut, dataset_of, held_out
from framework.runs.provenance import is_own
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
            _take_environment(cfg, self.dataset)
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


def _take_environment(cfg: Config, dataset: Dataset) -> None:
    """Make the dataset's environment the run's; UserError where it names code of a stranger's, without trust=true."""
    code = code_of(dataset.facts)
    places = {place for source in dataset.sources for place in (source.parent, source.parent.parent)}
    if code and not cfg.general_cfg.trust and not any(is_own(place, [*code.values()]) for place in places):
        key, name = next(iter(code.items()))
        raise UserError(
            f"algo_cfg.dataset: {dataset.sources[0].parent} was not made by you on this machine, and its {key} names"
            f" code to be run ({name}); look at that code, then add trust=true, or name another env_cfg.id"
        )
    for key, value in environment_of(dataset.facts).items():
        setattr(cfg.env_cfg, key, value)
    if cfg.env_cfg != EnvConfig():
        log.info("the environment is that of the dataset: %s", cfg.env_cfg.id)


@dataclass
class KnownSpaces:
    """Stands where environments would in a process that only learns from a dataset or serves it."""

    obs_space: spaces.Space[Any]
    action_space: spaces.Space[Any]


def episodes_held_out(cfg: Config, dataset: Dataset) -> np.ndarray:
    """Which episodes [E] a run that judges does not learn from, bools: the same in every process of the run."""
    return held_out(dataset, cfg.algo_cfg.holdout, stream(cfg.general_cfg.seed, "holdout"))


def check_spaces(dataset: Dataset, envs: Environments, key: str) -> None:
    """Raise UserError for a dataset, that of the setting `key`, that is not of the environments.

    Its shapes are theirs, its pictures of the same kind, its actions within their bounds. Its dicts, whose keys come in
    any order, get that of the environments, and whole numbers the type of the environments' bytes.
    """
    for what, space, name in (("observations", envs.obs_space, "obs"), ("actions", envs.action_space, "action")):
        column = dataset.columns[name] = _in_order_of(space, dataset.columns[name])
        found = {part: leaf.shape[1:] for part, leaf in leaves(column, name)}
        wanted = {part: leaf.shape for part, leaf in leaves(_leaf_spaces(space), name)}
        if found.keys() != wanted.keys():
            raise _Unlike(f"{key}: its {what} have {_parts(found)}, those of {envs.cfg.id} {_parts(wanted)}")
        if found != wanted:
            raise _Unlike(f"{key}: its {what} have shape {_shapes(found)}, those of {envs.cfg.id} {_shapes(wanted)}")
    _check_actions(dataset, envs, key)
    dataset.columns["obs"] = tree_map(
        lambda leaf, part: _of_space(leaf, part, f"{key}: its observations", envs.cfg.id),
        dataset.columns["obs"], _leaf_spaces(envs.obs_space),
    )  # fmt: skip


def _of_space(column: np.ndarray, space: spaces.Space[Any], whose: str, env_id: str) -> np.ndarray:
    """A column as the space has it: bytes as uint8. Raises UserError for pictures of another kind."""
    if space.dtype is None:
        return column
    wrong = other_pixels(column.dtype, np.dtype(space.dtype), column.shape[1:])
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        wrong = next((text for _, text in outside(column, space, "")), "")
    if space.dtype == np.uint8 and column.dtype != np.uint8 and not wrong:
        if column.size and not 0 <= column.min() <= column.max() <= 255:
            wrong = f"{column.min():g} to {column.max():g}, where bytes are 0 to 255"
        elif column.dtype.kind != "f":
            return column.astype(np.uint8)
    if wrong:
        raise _Unlike(f"{whose}: {wrong} ({env_id} has {space})")
    return column


def _check_actions(dataset: Dataset, envs: Environments, key: str) -> None:
    """Raise UserError, with file and episode, for an action that the environments' space does not have."""
    if next(_outside(dataset.columns["action"], envs.action_space), None) is None:
        return
    for number, episode in enumerate(dataset.each()):
        for name, text in _outside(episode["action"], envs.action_space):
            source = bisect_right(dataset.ends, number)
            first = dataset.ends[source - 1] if source else 0
            line = place(dataset.sources[source], text, name, f"episode {number - first}")
            raise _Unlike(f"{key}: {line}, in {envs.cfg.id}")


def _outside(actions: Tree, space: spaces.Space[Any]) -> Iterator[Fault]:
    for name, leaf in leaves(actions, "action"):
        yield from outside(leaf, part_of(space, name), name)


class _Unlike(UserError):
    """A dataset of another environment."""


def _leaf_spaces(space: spaces.Space[Any]) -> Tree:
    """The leaves of a space as a tree of plain dicts and tuples."""
    if isinstance(space, spaces.Dict):
        return {key: _leaf_spaces(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_leaf_spaces(part) for part in space.spaces)
    return space


def _in_order_of(space: spaces.Space[Any], tree: Tree) -> Tree:
    if isinstance(space, spaces.Dict) and isinstance(tree, dict) and space.spaces.keys() == tree.keys():
        return {key: _in_order_of(part, tree[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple) and isinstance(tree, tuple) and len(space.spaces) == len(tree):
        return tuple(_in_order_of(part, leaf) for part, leaf in zip(space.spaces, tree, strict=True))
    return tree


def _shapes(shapes: dict[str, Any]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes.values())


def _parts(shapes: dict[str, Any]) -> str:
    """The parts of a Dict or Tuple by name."""
    return ", ".join(f"{name.partition('/')[2] or 'one array'} {list(shape)}" for name, shape in shapes.items())

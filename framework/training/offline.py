"""The parts of a run that learns from a dataset: no workers, updates until a limit; an environment only to evaluate."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gymnasium import spaces

from algos.base import Policy
from algos.common.errors import UserError, first_line
from algos.common.trees import tree_leaves
from algos.data import DataSpec
from envs.config import EnvConfig
from framework.data.data_server import DataServer
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset
from framework.datasets.load import load_dataset
from framework.settings.schema import Config
from framework.training.counters import Counters
from framework.training.environments import Environments, EnvObject
from framework.training.parts import Sampled, Sampling
from framework.training.seeds import stream

log = logging.getLogger("joyride")
ROUND = 16  # updates between two looks at limits and signals


class OfflineEnvironments(Environments):
    """The spaces of a dataset, and where one can be made its environment, for evaluation.

    Where `env_cfg` says nothing, it becomes that of the dataset. An environment that cannot be made is a warning: the
    run trains without evaluation. Raises UserError where the environment's spaces are not the dataset's.
    """

    def __init__(self, cfg: Config, given: EnvObject | None = None):
        self.dataset = load_dataset(cfg.algo_cfg.dataset, cfg.general_cfg.tasks_dir)
        if given is None and cfg.env_cfg == EnvConfig():
            for key in ("id", "entry_point", "kwargs", "wrappers"):
                value = self.dataset.facts.get("env_id" if key == "id" else key)
                if value is not None:
                    setattr(cfg.env_cfg, key, value)
        self.missing = ""  # why there is no environment
        general = cfg.general_cfg
        if not general.online_eval and cfg.env_cfg.render_mode is None:
            self.missing = "general_cfg.online_eval is false"
        else:
            try:
                super().__init__(cfg, given)
                check_spaces(self.dataset, self, "algo_cfg.dataset")
                return
            except _Unlike:
                raise
            except UserError as error:
                self.missing = first_line(error)
            log.warning("%s: the run trains without evaluation, and no best model is chosen", self.missing)
            general.online_eval, cfg.env_cfg.render_mode = False, None
            general.reward_threshold = None
        self.cfg, self.general, self.given, self.remarks = cfg.env_cfg, general, None, []
        self.obs_space, self.action_space = self.dataset.obs_space, self.dataset.action_space

    def single(self, first: bool) -> Any:
        if self.missing:
            raise UserError(f"there is no environment to play episodes in: {self.missing}")
        return super().single(first)

    def can_be_filmed(self) -> bool:
        return not self.missing and super().can_be_filmed()


def check_spaces(dataset: Dataset, envs: Environments, key: str) -> None:
    """Raise UserError for a dataset, that of the setting `key`, whose shapes are not those of the environments."""
    for what, space, name in (("observations", envs.obs_space, "obs"), ("actions", envs.action_space, "action")):
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


def _words(shapes: list[Any]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)


class OfflineSampling(Sampling):
    """No workers: every round grants updates, up to the next limit or saved model."""

    def __init__(self, server: DataServer, counters: Counters):
        super().__init__([], server, counters)

    def rollouts(self) -> Iterator[Sampled]:
        """None; what there is to learn from is there already."""
        left = self.counters.updates_left()
        self.server.grant(min(ROUND, self.counters.updates_to_save(), ROUND if left is None else left))
        return iter(())


def as_learned(dataset: Dataset, policy: Policy) -> Dataset:
    """A dataset whose actions are in the policy's own form."""
    return replace(dataset, columns={**dataset.columns, "action": policy.policy_action(dataset.columns["action"])})


def offline_server(cfg: Config, dataset: Dataset, spec: DataSpec, policy: Policy) -> DataServer:
    """The server of a dataset whose actions are in the policy's own form from here on."""
    if dataset.steps < spec.n_steps:
        raise UserError(
            f"algo_cfg.dataset has {dataset.steps:,} steps, fewer than a sequence (algo_cfg.sequence_length="
            f"{spec.n_steps})"
        )
    seed = stream(cfg.general_cfg.seed, "server")
    return DataServer(spec, seed, buffer=DatasetBuffer(as_learned(dataset, policy), seed, spec.n_steps))

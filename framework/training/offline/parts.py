"""Sampling of a run that learns from a dataset: no workers, updates until a limit."""

import logging
from collections.abc import Iterator
from dataclasses import replace

from algos.base import Policy
from algos.common.errors import UserError
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset
from framework.datasets.load import load_dataset
from framework.settings.schema import Config
from framework.training.counters import Counters
from framework.training.environments import Environments
from framework.training.offline.environments import check_spaces
from framework.training.parts import Sampled, Sampling
from framework.training.seeds import stream

log = logging.getLogger("joyride")
ROUND = 16  # updates between two looks at limits and signals


class OfflineSampling(Sampling):
    """No workers: every round grants updates, up to the next limit or saved model."""

    def __init__(self, server: DataServer, counters: Counters):
        super().__init__([], server, counters)

    def rollouts(self) -> Iterator[Sampled]:
        """None; what there is to learn from is there already."""
        left = self.counters.updates_left()
        self.server.grant(min(ROUND, self.counters.updates_to_save(), ROUND if left is None else left))
        return iter(())


def offline_server(cfg: Config, dataset: Dataset, spec: DataSpec, policy: Policy) -> DataServer:
    """The server of a dataset."""
    if dataset.steps < spec.n_steps:
        raise UserError(
            f"algo_cfg.dataset has {dataset.steps:,} steps, fewer than a sequence (algo_cfg.sequence_length="
            f"{spec.n_steps})"
        )
    seed = stream(cfg.general_cfg.seed, "server")
    return DataServer(spec, seed, buffer=DatasetBuffer(as_learned(dataset, policy), seed, spec.n_steps))


def as_learned(dataset: Dataset, policy: Policy) -> Dataset:
    """A dataset whose actions are in the policy's own form."""
    columns = {**dataset.columns, "action": policy.policy_action(dataset.columns["action"])}
    return replace(dataset, columns=columns)


def demo_buffer(cfg: Config, envs: Environments, policy: Policy) -> DatasetBuffer | None:
    """The demonstrations that go into every batch, if there are any; UserError where they are of other spaces."""
    dataset = demonstrations(cfg, envs, policy)
    return None if dataset is None else DatasetBuffer(dataset, stream(cfg.general_cfg.seed, "demos"))


def demonstrations(cfg: Config, envs: Environments, policy: Policy) -> Dataset | None:
    """What `algo_cfg.demo_paths` names, with actions in the policy's own form; None where it names nothing."""
    words, key = getattr(cfg.algo_cfg, "demo_paths", None), "algo_cfg.demo_paths"
    if words is None:
        return None
    dataset = load_dataset(words, cfg.general_cfg.tasks_dir, key)
    check_spaces(dataset, envs, key)
    log.info("demonstrations: %s episodes, %s steps", f"{dataset.episodes:,}", f"{dataset.steps:,}")
    return as_learned(dataset, policy)

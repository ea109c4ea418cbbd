"""Sampling of a run that learns from a dataset: no workers, updates until a limit."""

import logging
from collections.abc import Iterator

from algos.base import Policy
from algos.common.errors import UserError
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.data.demos import DemoBuffer
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset
from framework.datasets.load import load_dataset
from framework.datasets.verdicts import BalancedBuffer
from framework.datasets.words import sources_of
from framework.settings.schema import Config
from framework.training.counters import Counters
from framework.training.environments import Environments
from framework.training.offline.environments import check_spaces, episodes_held_out
from framework.training.parts import Sampled, Sampling
from framework.training.seeds import stream

log = logging.getLogger("joyride")
DEMOS = "algo_cfg.demo_paths"
ROUND = 16  # updates between two looks at limits and signals


def granted(counters: Counters) -> int:
    """Updates of the next round: up to the next limit or saved model."""
    left = counters.updates_left()
    return min(ROUND, counters.updates_to_save(), ROUND if left is None else left)


class OfflineSampling(Sampling):
    """No workers: every round grants updates, up to the next limit or saved model."""

    def __init__(self, server: DataServer, counters: Counters):
        super().__init__([], server, counters)

    def rollouts(self) -> Iterator[Sampled]:
        """None; what there is to learn from is there already."""
        self.server.grant(granted(self.counters))
        return iter(())


def offline_server(cfg: Config, dataset: Dataset, spec: DataSpec, policy: Policy) -> DataServer:
    """The server of a dataset."""
    if dataset.steps < spec.n_steps:
        raise UserError(
            f"algo_cfg.dataset has {dataset.steps:,} steps, fewer than a sequence (algo_cfg.sequence_length="
            f"{spec.n_steps})"
        )
    seed = stream(cfg.general_cfg.seed, "server")
    if spec.balanced:
        return DataServer(spec, seed, dataset=BalancedBuffer(dataset, seed, episodes_held_out(cfg, dataset)))
    return DataServer(spec, seed, dataset=as_learned(dataset, policy, seed, spec.n_steps))


def as_learned(dataset: Dataset, policy: Policy, seed: int, length: int = 1) -> DatasetBuffer:
    """A buffer of a dataset, its actions in the policy's own form."""
    return DatasetBuffer(dataset, seed, length, policy.policy_action(dataset.columns["action"]))


def demo_buffer(cfg: Config, envs: Environments, spec: DataSpec, policy: Policy) -> DemoBuffer:
    """The demonstrations that go into every batch, and room for interventions."""
    return DemoBuffer(demonstrations(cfg, envs, policy), spec.capacity, stream(cfg.general_cfg.seed, "demos"))


def demonstrations(cfg: Config, envs: Environments, policy: Policy) -> DatasetBuffer | None:
    """What `algo_cfg.demo_paths` names, with actions in the policy's own form; None where it names nothing.

    UserError where they are of other spaces.
    """
    words = getattr(cfg.algo_cfg, "demo_paths", None)
    if not words:
        return None
    dataset = load_dataset(words, cfg.general_cfg.tasks_dir, DEMOS)
    check_spaces(dataset, envs, DEMOS)
    log.info("demonstrations: %s episodes, %s steps", f"{dataset.episodes:,}", f"{dataset.steps:,}")
    return as_learned(dataset, policy, seed=0)


def check_demos(cfg: Config, envs: Environments) -> None:
    """Refuse a share of demonstrations that nothing can fill; say where it begins with the first intervention.

    No file is read.
    """
    words, ratio = cfg.algo_cfg.demo_paths, f"algo_cfg.demo_ratio={cfg.algo_cfg.demo_ratio:g}"
    if words:
        sources_of(words, cfg.general_cfg.tasks_dir, DEMOS)
        return
    who = envs.intervener()
    if not who:
        raise UserError(
            f"{ratio} needs {DEMOS}, a run of mode=collect or files, or a wrapper that intervenes, in env_cfg.wrappers"
            " or in the environment (its name ends in Intervention, or its class says intervenes = True)"
        )
    log.info("%s without %s: batches are of the run's own steps until the first of %s", ratio, DEMOS, who)

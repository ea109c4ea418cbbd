"""Sampling of a run that learns from a dataset: no workers, updates until a limit."""

from collections.abc import Iterator

from algos.base import Policy
from algos.common.errors import UserError
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset
from framework.settings.schema import Config
from framework.training.counters import Counters
from framework.training.parts import Sampled, Sampling
from framework.training.seeds import stream

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
    """The server of a dataset whose actions are in the policy's own form from here on."""
    columns = {**dataset.columns, "action": policy.policy_action(dataset.columns["action"])}
    learned = Dataset(columns, dataset.first, dataset.obs_space, dataset.action_space, dataset.facts, dataset.sources)
    if dataset.steps < spec.n_steps:
        raise UserError(
            f"algo_cfg.dataset has {dataset.steps:,} steps, fewer than a sequence (algo_cfg.sequence_length="
            f"{spec.n_steps})"
        )
    seed = stream(cfg.general_cfg.seed, "server")
    return DataServer(spec, seed, buffer=DatasetBuffer(learned, seed, spec.n_steps))

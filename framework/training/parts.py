"""The parts of a driver in one process: sampling (workers fill the server) and learning (a learner it feeds).

framework/distributed has both with the same methods for several processes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from algos.base import Algorithm
from algos.data import LearnOutput
from framework.data.data_server import DataServer
from framework.data.rollout import Rollout
from framework.training.counters import Counters
from framework.training.learner import Learner
from framework.training.worker import Worker, WorkerStats


@dataclass
class Sampled:
    """A rollout of worker number `worker`; `replaced`: that worker is new, what it had begun before is lost."""

    worker: int
    rollout: Any  # elsewhere than in one process a reference to it
    stats: WorkerStats
    replaced: bool = False


class Sampling:
    """Steps the workers in turn and stores their rollouts."""

    def __init__(self, workers: list[Worker], server: DataServer, counters: Counters):
        self.workers, self.server, self.counters = workers, server, counters

    def rollouts(self) -> Iterator[Sampled]:
        """A rollout from every worker, all from the same global step, until the last episode allowed ends.

        Each must be counted before the next is asked for.
        """
        n_steps, step = self.counters.next_rollout(), self.counters.env_step
        for worker in self.workers:
            rollout, stats = worker.collect(n_steps, step, max_episodes=self.counters.episodes_left())
            yield Sampled(worker.index, rollout, stats)
            if self.counters.episodes_left() == 0:
                return

    def put(self, rollout: Rollout) -> None:
        """Hand a rollout to the server."""
        self.server.put(rollout)

    def read(self, rollout: Rollout) -> Rollout:
        """The rollout itself."""
        return rollout

    def quiet(self) -> bool:
        """Whether nothing is under way between processes: never, here."""
        return True

    def settle(self, exchange: Callable[[], None]) -> None:
        """Let what is under way arrive, taken in by calls of `exchange`: nothing is, here."""

    def state_dict(self) -> dict[str, Any]:
        """State of the server and of every worker."""
        return {"server": self.server.state_dict(), "workers": [worker.state_dict() for worker in self.workers]}

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Hand server and workers their states; returns a line for each environment that did not come back equal."""
        self.server.load_state_dict(state["server"])
        pairs = zip(self.workers, state["workers"], strict=True)
        return [line for worker, one in pairs for line in worker.load_state_dict(one)]

    def close(self) -> None:
        """Close what the run alone uses; the environments are the experiment's."""


class Learning:
    """Learns what is due from the server's batches."""

    def __init__(self, learner: Learner, server: DataServer):
        self.learner, self.server = learner, server
        self.outputs: list[LearnOutput] = []

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm as it is after the last update."""
        return self.learner.algorithm

    def due(self) -> bool:
        """Whether there is something to learn from."""
        return self.server.updates_due() > 0

    def submit(self) -> None:
        """Have the learner learn from one batch."""
        batch = self.server.sample()
        output = self.learner.learn(batch)
        output.metrics = kept(output.metrics)
        if output.priorities is not None and batch.index is not None:
            self.server.update_priorities(batch.index, output.priorities.cpu().numpy())
        self.outputs.append(output)

    def receive(self) -> Iterable[LearnOutput]:
        """What came of it, once."""
        outputs, self.outputs = self.outputs, []
        return outputs

    def state_dict(self) -> dict[str, Any]:
        """State of the learner."""
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore what `state_dict` returned; a line for what cannot be."""
        return self.learner.load_state_dict(state)


def kept(metrics: Mapping[str, Tensor | float]) -> dict[str, Tensor | float]:
    """Metrics until their row is written: on the CPU numbers, for tensors would hold memory that the next update would
    have found in the cache; on another device tensors, for nothing is to wait for them."""
    return {
        name: float(value) if isinstance(value, Tensor) and value.is_cpu else value for name, value in metrics.items()
    }

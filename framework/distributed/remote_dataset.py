"""Sampling of a run that learns from a dataset over Ray: no workers, the server draws from the files."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from framework.distributed.traffic import RemoteServer, Traffic
from framework.training.offline.parts import granted
from framework.training.parts import Sampled

log = logging.getLogger("joyride")


class RemoteDataset:
    """The methods of framework.training.offline.parts.OfflineSampling; the dataset is in the server's process alone."""

    def __init__(self, traffic: Traffic, server: RemoteServer):
        self.traffic, self.server = traffic, server
        self.cluster, self.counters, self.pacing = traffic.cluster, traffic.counters, traffic.pacing

    def start(self) -> None:
        """Wait until the server has read the dataset, measure what a call costs, and say so."""
        first = not self.pacing.call_seconds
        self.server.updates_due(starting=True)
        self.pacing.call_seconds = call = self.cluster.call_seconds(self.server.handle)
        self.pacing.restart(0)
        if first:
            log.info(
                "started Ray %s: a dataset without workers, in %.1f s; a call takes %.2f ms",
                self.cluster.version, time.monotonic() - self.cluster.begun, 1000 * call,
            )  # fmt: skip

    def rollouts(self) -> Iterator[Sampled]:
        """None; the round's updates are granted."""
        self.pacing.owed = granted(self.counters)
        self.server.grant(self.pacing.owed)
        return iter(())

    def quiet(self) -> bool:
        """Whether nothing is under way: never, as each round waits for its updates."""
        return True

    def settle(self, exchange: Callable[[], None]) -> None:
        """Let what is under way arrive: nothing is."""

    def cancel(self) -> None:
        """Forget what is under way: nothing is."""

    def state_dict(self) -> dict[str, Any]:
        """State of the server."""
        return {"server": self.server.state_dict(), "workers": []}

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Hand the server its state; there is nothing that could not come back."""
        self.server.load_state_dict(state["server"])
        return []

    def close(self) -> None:
        """Close the table of failures."""
        self.traffic.failures.close()

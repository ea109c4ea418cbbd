"""State shared by sampling and learning: the newest weights, calls under way, and the data server's actor."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from algos.base import Policy
from algos.data import DataSpec
from framework.distributed.actors import ActorConfig, ServerActor, weights_of
from framework.distributed.cluster import Cluster, Handle, Ref
from framework.distributed.failures import FailureLog
from framework.distributed.pacing import Pacing
from framework.training.counters import Counters

SERVER = "the server"
VERSIONS = 1000  # of weights whose times are remembered


@dataclass
class PendingUpdate:
    """Batches that the learners are learning from."""

    answers: list[Ref]
    weights: Ref
    batches: int
    updates: int  # that it is thought to make: on-policy, as many as any before it
    lag: float  # versions of weights between acting and learning
    age: float  # seconds since the weights were new that acted
    deadline: float


class Traffic:
    """What sampling and learning share. `exact`: the rounds of a single process; else nobody waits for another."""

    def __init__(
        self,
        cluster: Cluster,
        spec: DataSpec,
        actor_config: ActorConfig,
        policy: Policy,
        counters: Counters,
        failures: FailureLog,
    ):
        general = actor_config.cfg.general_cfg
        self.cluster, self.spec, self.actor_config = cluster, spec, actor_config
        self.counters, self.failures = counters, failures
        self.exact = general.sync == "exact" or spec.offline  # there is nobody to wait for
        self.pacing = Pacing(spec, general.n_workers, general.n_envs, call_seconds=0.0)
        self.version = -1  # of the weights
        self.born: dict[int, float] = {}  # when each of the last VERSIONS versions was new
        self.take(cluster.put(weights_of(policy)))
        self.forget()

    def take(self, weights: Ref) -> None:
        """These are the newest weights."""
        self.weights, self.version = weights, self.version + 1
        self.born[self.version] = time.monotonic()
        self.born.pop(self.version - VERSIONS, None)

    def age(self, version: float) -> float:
        """Seconds since the weights of a version were new."""
        return time.monotonic() - self.born.get(int(version), min(self.born.values()))

    def forget(self) -> None:
        """Nothing is under way."""
        self.stores: dict[Ref, float] = {}  # what the server is storing, with deadlines
        self.updates: list[PendingUpdate] = []  # what the learners are learning and, in async mode, have before them
        self.acted: list[int] = []  # versions of the weights behind rollouts that no update has counted

    def fail(self, part: str, cause: str, action: str) -> None:
        """Write down a failure; ends the run where there were too many, or where it is Ray itself that failed."""
        self.cluster.check(ask=self.failures.restarts > 0)
        self.cluster.drop_cpu_reservations()
        self.failures.add(part, cause, action)

    def refs(self) -> list[Ref]:
        """What the server and the learners are at. Raises PartLost if one of them should have answered."""
        waited_for = [(SERVER, ref, deadline) for ref, deadline in self.stores.items()]
        waited_for += [("learner 0", update.answers[0], update.deadline) for update in self.updates]
        for part, ref, deadline in waited_for:
            if time.monotonic() > deadline:
                with self.cluster.required(part):
                    self.cluster.ready(ref, deadline)
        return [ref for _, ref, _ in waited_for]


class RemoteServer:
    """The data server in a process of its own."""

    def __init__(self, traffic: Traffic):
        self.traffic, self.cluster = traffic, traffic.cluster
        self.spawn()

    def spawn(self) -> None:
        """Start its process."""
        traffic = self.traffic
        self.unsent: list[Ref] = []  # rollouts of a round or group
        n_rollouts = traffic.actor_config.cfg.general_cfg.n_workers if traffic.exact else traffic.pacing.size
        self.handle: Handle = self.cluster.spawn(ServerActor, traffic.actor_config, traffic.spec, n_rollouts)

    def grant(self, updates: int) -> None:
        """Of a dataset: so many updates are due now."""
        self.handle.grant.remote(updates)

    def put(self, rollout: Ref) -> None:
        """Store a rollout, with the others of its round or group by one call."""
        self.unsent.append(rollout)

    def store(self) -> None:
        """Have what was put stored."""
        if self.unsent:
            self.traffic.stores[self.handle.put.remote(*self.unsent)] = self.cluster.deadline()
            self.unsent = []

    def stored(self, wait: bool) -> Iterator[int]:
        """Updates that each finished store has made due; `wait`: of all of them."""
        stores = self.traffic.stores
        refs = list(stores)
        for ref in refs if wait or not refs else self.cluster.wait(refs, all_of_them=True, seconds=0):
            del stores[ref]
            yield self.cluster.value(ref, SERVER)

    def updates_due(self, starting: bool = False) -> int:
        """Calls of `learn` that are owed now."""
        due: int = self.cluster.value(self.handle.updates_due.remote(), SERVER, starting)
        return due

    def state_dict(self) -> dict[str, Any]:
        """Buffer and counters."""
        state: dict[str, Any] = self.cluster.value(self.handle.state_dict.remote(), SERVER)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.cluster.value(self.handle.load_state_dict.remote(state), SERVER)

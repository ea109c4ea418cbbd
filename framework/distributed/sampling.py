"""Sampling with workers in separate processes: the rounds of a single process, or whatever arrives next."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from framework.data.data_server import DataServer
from framework.data.rollout import Rollout
from framework.distributed.cluster import Cluster, Ref
from framework.distributed.pacing import CollectRequest
from framework.distributed.traffic import RemoteServer, Traffic
from framework.distributed.worker_pool import InFlightRollout, WorkerPool
from framework.training.parts import Sampled
from framework.training.worker import WorkerStats

log = logging.getLogger("joyride")


class CountingServer:
    """Stands for the data server where nothing is learned: it counts steps in the driver's process."""

    def __init__(self, cluster: Cluster, server: DataServer):
        self.cluster, self.server = cluster, server
        self.state_dict, self.load_state_dict = server.state_dict, server.load_state_dict

    def put(self, rollout: Ref) -> None:
        """Count a rollout's steps."""
        self.server.put(self.cluster.get(rollout))

    def store(self) -> None:
        """Nothing is kept."""

    def updates_due(self, starting: bool = False) -> int:
        """None ever."""
        return 0


class RemoteSampling:
    """The workers of a pool, with the methods of framework.training.parts.Sampling."""

    def __init__(self, traffic: Traffic, server: RemoteServer | CountingServer):
        self.traffic, self.server = traffic, server
        self.cluster, self.counters, self.pacing = traffic.cluster, traffic.counters, traffic.pacing
        self.pool = WorkerPool(traffic.cluster, traffic.actor_config, traffic.exact, traffic.fail)
        self.cancel()

    def start(self) -> None:
        """Wait for the workers, measure what a call costs, and say so."""
        first = not self.pacing.call_seconds
        machines = len(self.pool.hosts())
        self.pacing.call_seconds = call = self.cluster.call_seconds(self.pool.handles[0])
        self.pacing.restart(self.counters.env_step)
        self.pacing.owed = self.server.updates_due(starting=True)
        if not first:
            return
        if self.traffic.exact and self.counters.rollout_length == 1:
            self._tell_of_calls()
        general = self.counters.cfg
        log.info(
            "started Ray %s: %d workers on %d machine%s, %s, in %.1f s; a call takes %.2f ms",
            self.cluster.version, general.n_workers, machines, "s" * (machines > 1), general.sync,
            time.monotonic() - self.cluster.begun, 1000 * call,
        )  # fmt: skip

    def _tell_of_calls(self) -> None:
        """In exact mode with one call per step, say how to need fewer calls."""
        if self.traffic.spec.fixed_length:
            log.info("sync=exact calls the workers after every step because n_steps=1; a larger one needs fewer calls")
        else:
            log.info(
                "sync=exact calls the workers after every step because train_freq=%d; for fewer calls raise train_freq"
                " and gradient_steps together, or use sync=async", self.traffic.spec.train_freq,
            )  # fmt: skip

    def rollouts(self) -> Iterator[Sampled]:
        """The next rollouts; each must be counted before the next is asked for."""
        yield from self._round() if self.traffic.exact else self._arrivals()

    # exact: the rounds of the single process, its workers side by side

    def _round(self) -> Iterator[Sampled]:
        """A rollout from every worker; one after the other where the limit of episodes falls among them."""
        counters, n_steps = self.counters, self.counters.next_rollout()
        left = counters.episodes_left()
        near = left is not None and left <= n_steps * counters.total_envs  # the limit may fall in this round
        before = self.pool.states() if near else []
        request = CollectRequest(n_steps, counters.env_step, 0, self.traffic.version, self.traffic.weights)
        together = self.pool.collect(request, left)
        if left is None or sum(len(stats.episodes) for _, stats in together) < left:
            for index, (rollout, stats) in enumerate(together):
                yield self._sampled(index, self.pool.restarts[index], rollout, stats)
        else:
            self.pool.load_states(before)
            for index in range(self.pool.n_workers):
                ((rollout, stats),) = self.pool.collect(request, counters.episodes_left(), [index])
                yield self._sampled(index, self.pool.restarts[index], rollout, stats)
                if counters.episodes_left() == 0:
                    break
        self.server.store()

    def _sampled(self, index: int, restart: int, rollout: Ref, stats: WorkerStats) -> Sampled:
        """A rollout of worker `index`: after a restart it does not continue where the ones before ended."""
        replaced = restart != self.restarts[index]
        self.restarts[index] = restart
        return Sampled(index, rollout, stats, replaced)

    # async: every worker has a rollout under way unless learning holds it back

    def _arrivals(self) -> Iterator[Sampled]:
        """Keep the workers busy, wait for whatever arrives next, from them or from learning."""
        self._submit()
        refs = [*self.pool.in_flight, *self.traffic.refs()]
        if refs:
            self.cluster.wait(refs)
            refs = self.cluster.wait(refs, all_of_them=True, seconds=0)
        here = [ref for ref in refs if ref in self.pool.in_flight]
        for ref in self.pool.in_order(here + [ref for ref in self.pool.overdue() if ref not in here]):
            yield from self._receive(ref)

    def _submit(self) -> None:
        """Keep workers busy; while a run settles only to complete the groups that have begun.

        The next rollout waits at the worker, so that it need not; not on-policy, where it is to have newer weights.
        """
        most = 1 if self.pacing.on_policy else 2
        while self.counters.episodes_left() != 0:
            index, busy = self.pool.least_busy()
            if busy >= most:
                return
            left = self.counters.env_steps_left()
            unsent = None if left is None else left + self.counters.env_step - self.pacing.sent
            request = self.pacing.request(self.traffic.version, self.traffic.weights, unsent)
            if request is None:
                return
            self.pool.submit(index, request, self.counters.episodes_left())

    def _receive(self, ref: Ref) -> Iterator[Sampled]:
        """A rollout has arrived: take it in, with its whole group if the algorithm learns on-policy."""
        received = self.pool.receive(ref, self.counters.episodes_left())
        if received is None or self.counters.episodes_left() == 0:  # failed, or it came after the end
            return
        pending, stats, seconds = received
        self.pacing.saw_rollout(seconds, pending.request.n_steps)
        self.groups.setdefault(pending.request.group, []).append((pending, stats))
        if not self.pacing.in_groups:
            yield from self._group(pending.request.group)
        while self.pacing.in_groups and len(self.groups.get(self.pacing.next_group, ())) == self.pacing.size:
            yield from self._group(self.pacing.next_group)
            self.pacing.next_group += 1

    def _group(self, group: int) -> Iterator[Sampled]:
        for pending, stats in self.groups.pop(group):
            stats.episodes = stats.episodes[: self.counters.episodes_left()]
            self.traffic.acted.append(stats.version)
            yield self._sampled(pending.worker, pending.restart, pending.rollout, stats)
        self.server.store()

    def put(self, rollout: Ref) -> None:
        """Hand a rollout to the server."""
        self.server.put(rollout)

    def read(self, rollout: Ref) -> Rollout:
        """The rollout itself: the driver sees those alone that are written as trajectories."""
        value: Rollout = self.cluster.get(rollout)
        return value

    def _under_way(self) -> bool:
        """Whether anything has been sent that has not come back, or must be completed."""
        if self.pool.in_flight or self.traffic.stores or self.traffic.updates:
            return True
        unfinished = self.pacing.on_policy and (self.pacing.owed > 0 or self.pacing.places > 0)
        return unfinished and self.counters.episodes_left() != 0

    def quiet(self) -> bool:
        """Whether nothing is under way, nor will be unless something new begins."""
        return self.traffic.exact or not (self._under_way() or self.pacing.owed)

    def settle(self, exchange: Callable[[], None]) -> None:
        """Let everything under way arrive, so that a checkpoint is of one moment."""
        if self.traffic.exact or self.pacing.settling:
            return
        self.pacing.settling = True
        try:
            while self._under_way():
                exchange()
        finally:
            self.pacing.settling = False

    def cancel(self) -> None:
        """Forget what is under way."""
        self.pool.cancel()
        self.restarts = list(self.pool.restarts)  # by worker, the restart from which its last rollout came
        self.groups: dict[int, list[tuple[InFlightRollout, WorkerStats]]] = {}  # that are not complete

    def state_dict(self) -> dict[str, Any]:
        """State of the server and of every worker."""
        return {"server": self.server.state_dict(), "workers": self.pool.states()}

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Hand server and workers their states; returns a line for each environment that did not come back equal."""
        self.server.load_state_dict(state["server"])
        return self.pool.load_states(state["workers"])

    def close(self) -> None:
        """Close the table of failures."""
        self.traffic.failures.close()

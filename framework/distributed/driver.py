"""What both Ray drivers share: a crew of workers in processes of their own, and how its rollouts come in."""

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from framework.distributed.actors import Plan, weights_of
from framework.distributed.failures import FaultLog
from framework.distributed.pacing import Order, Pacing
from framework.distributed.worker_pool import Crew, Flight, Ref
from framework.settings.schema import GeneralConfig
from framework.training.driver import Driver, Parts
from framework.training.trainer import Collector
from framework.training.worker import WorkerStats

if TYPE_CHECKING:
    from framework.distributed.cluster import Cluster

log = logging.getLogger("joyride")


class RayDriver(Driver):
    """What both Ray drivers share: the crew, and how its rollouts come in."""

    workers: list[Any]  # stays empty: they are the crew's

    def set_up(self, cluster: "Cluster", plan: Plan) -> None:
        """Start the workers."""
        self.cluster, self.plan, self.exact = cluster, plan, self.cfg.sync == "exact"
        self.faults = FaultLog(self.folder.results, self.cfg.max_worker_restarts)
        self.crew = Crew(cluster, plan, self.exact, self.fault)
        self.weights: Ref = cluster.put(weights_of(self.policy))
        self.version = 0  # of the weights
        self.written_by = list(self.crew.restarts)  # by worker, the restart from which its trajectories come
        self.landed: dict[int, list[tuple[Flight, WorkerStats]]] = {}  # rollouts of groups that are not complete
        self.acted: list[int] = []  # versions of the weights behind rollouts that no lesson has counted
        self.pacing = Pacing(self.spec, self.cfg.n_workers, self.cfg.n_envs, call_seconds=0.0)

    def start(self) -> None:
        """Wait for the workers, measure what a call costs, and say so."""
        first = not self.pacing.call_seconds
        machines = len(self.crew.hosts())
        self.pacing.call_seconds = call = self.cluster.call_seconds(self.crew.handles[0])
        self.pacing.restart(self.env_step)
        if first and self.exact and self.chunk == 1:
            self._tell_of_calls()
        if first:
            log.info(
                "started Ray %s: %d workers on %d machine%s, %s, in %.1f s; a call takes %.2f ms",
                self.cluster.version, self.cfg.n_workers, machines, "s" * (machines > 1), self.cfg.sync,
                time.monotonic() - self.cluster.begun, 1000 * call,
            )  # fmt: skip

    def _tell_of_calls(self) -> None:
        """Say what makes the calls of exact mode fewer where there is one for every step."""
        if self.spec.kind == "replay":
            log.info(
                "exact: the workers are asked after every step, as train_freq=%d wants it; a larger train_freq with as"
                " much larger gradient_steps takes fewer calls, and so does sync=async", self.spec.train_freq,
            )  # fmt: skip
        else:
            log.info(
                "exact: the workers are asked after every step, as n_steps=1 wants it; a larger one takes fewer calls"
            )

    def fault(self, part: str, cause: str, action: str) -> None:
        """Write down a failure; ends the run where there were too many."""
        self.cluster.crowded()
        self.faults.add(part, cause, action, self.recorder.wall_time(), self.env_step, self.update_step)

    # exact: the rounds of the single process, its workers side by side

    def rollouts(self, n_steps: int, step: int) -> Iterator[tuple[Ref, WorkerStats]]:
        """A rollout from every worker; one after the other where the limit of episodes falls among them."""
        left = self._episodes_left()
        near = left is not None and left <= n_steps * self.stride  # the limit may fall in this round
        before = self.crew.states() if near else []
        order = Order(n_steps, step, 0, self.version, self.weights)
        together = self.crew.collect(order, left)
        if left is None or sum(len(stats.episodes) for _, stats in together) < left:
            for index, pair in enumerate(together):
                self._from_restart(index, self.crew.restarts[index])
                yield pair
            return
        self.crew.load_states(before)
        for index in range(self.cfg.n_workers):
            (pair,) = self.crew.collect(order, self._episodes_left(), [index])
            self._from_restart(index, self.crew.restarts[index])
            yield pair
            if self._episodes_left() == 0:
                return

    def _from_restart(self, index: int, restart: int) -> None:
        """A rollout comes from worker `index`: after a restart it does not go on where the ones before ended."""
        if restart != self.written_by[index] and self.trajectories is not None:
            n_envs = self.cfg.n_envs
            self.trajectories.forget(range(index * n_envs, (index + 1) * n_envs))
        self.written_by[index] = restart

    # async: every worker has a rollout under way unless learning holds it back

    def step(self, begin: bool = True) -> None:
        """Send what can be sent, wait for whatever arrives next."""
        self.send(begin)
        for ref in self.arrivals(list(self.crew.flights)):
            self.land(ref)

    def send(self, begin: bool) -> None:
        """Keep workers busy; without `begin` only to complete the groups that have begun.

        The next rollout waits at the worker, so that it need not; not on-policy, where it is to have newer weights.
        """
        limit, most = self.cfg.env_step_limit, 1 if self.pacing.on_policy else 2
        while self._episodes_left() != 0:
            index, busy = self.crew.least_busy()
            if busy >= most:
                return
            left = None if limit < 0 else self.first_env_step + limit - self.pacing.sent
            order = self.pacing.order(self.version, self.weights, left, begin)
            if order is None:
                return
            self.call("pre_rollout")
            self.crew.launch(index, order, self._episodes_left())

    def arrivals(self, refs: list[Ref]) -> list[Ref]:
        """Those that have arrived, or are overdue, each worker's in their order; waits a while for the first."""
        if refs:
            self.cluster.wait(refs)
            refs = self.cluster.wait(refs, all_of_them=True, seconds=0)
        return self.crew.in_order(refs + [ref for ref in self.crew.overdue() if ref not in refs])

    def land(self, ref: Ref) -> None:
        """A rollout has arrived: take it in, with its whole group if the algorithm learns on-policy."""
        landing = self.crew.land(ref, self._episodes_left())
        if landing is None:
            return
        if self._episodes_left() == 0:  # it came after the end
            return
        flight, stats, seconds = landing
        self.pacing.saw_rollout(seconds, flight.order.n_steps)
        self.landed.setdefault(flight.order.group, []).append((flight, stats))
        if not self.pacing.in_groups:
            self._take_group(flight.order.group)
        while self.pacing.in_groups and len(self.landed.get(self.pacing.next_group, ())) == self.pacing.size:
            self._take_group(self.pacing.next_group)
            self.pacing.next_group += 1

    def _take_group(self, group: int) -> None:
        for flight, stats in self.landed.pop(group):
            stats.episodes = stats.episodes[: self._episodes_left()]
            self.acted.append(flight.order.version)
            self._from_restart(flight.worker, flight.restart)
            self.take(flight.worker, flight.rollout, stats)
            self.call("post_rollout")

    def check_limits(self) -> None:
        """In async mode a limit ends the run once everything under way has arrived and is learned."""
        if self.signal or self.exact or self.quiet():
            super().check_limits()

    def under_way(self) -> bool:
        """Whether anything has been sent that has not come back."""
        return bool(self.crew.flights)

    def quiet(self) -> bool:
        """Whether nothing is under way, nor will be unless something new begins."""
        return not self.under_way()

    def drain(self) -> None:
        """async: let everything under way arrive, so that a checkpoint is of one moment."""
        while not self.exact and self.under_way():
            self.step(begin=False)

    # files

    def checkpoint(self) -> None:
        self.drain()
        super().checkpoint()

    def _write_trajectories(self, index: int, rollout: Any) -> None:
        super()._write_trajectories(index, self.cluster.get(rollout))  # the only rollouts that the driver sees

    def close(self) -> None:
        super().close()
        self.faults.close()


class RayCollector(RayDriver, Collector):
    """Collects trajectories with workers in processes of their own."""

    def __init__(self, parts: Parts, cfg: GeneralConfig, cluster: "Cluster", plan: Plan):
        super().__init__(parts, cfg)
        self.set_up(cluster, plan)

    def run(self) -> str:
        self.start()
        return super().run()

    def iterate(self) -> None:
        if self.exact:
            return super().iterate()
        self.call("pre_iteration")
        self.step()
        self.checkpoint_due = True
        self.call("post_iteration")

    def finish(self) -> None:
        self.drain()

    def store(self, rollout: Ref) -> None:
        self.server.put(self.cluster.get(rollout))  # which only counts

    def data_states(self) -> dict[str, Any]:
        return {"server": self.server.state_dict(), "workers": self.crew.states()}

    def load_data_states(self, server: dict[str, Any], workers: list[dict[str, Any]]) -> list[str]:
        self.server.load_state_dict(server)
        return self.crew.load_states(workers)

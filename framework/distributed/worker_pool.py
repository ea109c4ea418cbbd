"""The workers of a Ray run, called together or one by one, and replaced if they fail."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

from framework.distributed.actors import ActorConfig, WorkerActor
from framework.distributed.cluster import Cluster, Handle, Ref
from framework.distributed.failures import CallFailed, PartLost, user_error_in
from framework.distributed.pacing import CollectRequest
from framework.training.worker import WorkerStats

Fail: TypeAlias = Callable[[str, str, str], None]  # of a part, with a cause, and what is done about it


@dataclass
class InFlightRollout:
    """A rollout that a worker is collecting, or is to collect next."""

    worker: int
    restart: int  # of the worker that it was given to
    request: CollectRequest
    rollout: Ref
    deadline: float


class WorkerPool:
    """All workers. `fail(part, cause, action)` is told of each that failed, and may end the run by raising."""

    def __init__(self, cluster: Cluster, actor_config: ActorConfig, exact: bool, fail: Fail):
        self.cluster, self.actor_config, self.fail = cluster, actor_config, fail
        self.action = "replaced; its current rollout is dropped" + (", the run is no longer exact" if exact else "")
        self.n_workers = actor_config.cfg.general_cfg.n_workers
        self.restarts = [0] * self.n_workers
        self.fresh = set(range(self.n_workers))  # they have not answered yet
        self.delivered = False  # any of them has brought a rollout
        self.handles = [self._spawn(index) for index in range(self.n_workers)]
        self.in_flight: dict[Ref, InFlightRollout] = {}

    def _spawn(self, index: int) -> Handle:
        return self.cluster.spawn(WorkerActor, self.actor_config, index, self.restarts[index])

    def _deadline(self, index: int) -> float:
        return self.cluster.deadline(starting=index in self.fresh)

    def replace(self, index: int, failure: CallFailed) -> None:
        """A new worker in the place of one that failed, with random streams of its own."""
        if failure.lost_input:
            raise PartLost("the learner", "its weights were lost with its machine")
        if not self.delivered or user_error_in(failure.traceback) is not None:
            failure.raise_if_hopeless(f"worker {index}", startup=True)
        self.cluster.kill(self.handles[index])
        self.fail(f"worker {index}", failure.cause, self.action)
        self.restarts[index] += 1
        self.handles[index] = self._spawn(index)
        self.fresh.add(index)

    # together

    def ask(self, ask: Callable[[Handle, int], Ref], indices: list[int] | None = None) -> list[Any]:
        """The answers of all workers (or of `indices`); one that fails is replaced, and asked again."""
        asked = list(range(self.n_workers)) if indices is None else indices
        waiting = {index: ask(self.handles[index], index) for index in asked}
        deadlines = {index: self._deadline(index) for index in asked}
        answers: dict[int, Any] = {}
        while waiting:
            self.cluster.wait(list(waiting.values()), all_of_them=True)
            for index, ref in list(waiting.items()):
                try:
                    if not self.cluster.ready(ref, deadlines[index]):
                        continue
                    answers[index] = self.cluster.get(ref)
                    self.fresh.discard(index)
                    del waiting[index]
                except CallFailed as failure:
                    self.replace(index, failure)
                    waiting[index] = ask(self.handles[index], index)
                    deadlines[index] = self._deadline(index)
        return [answers[index] for index in asked]

    def collect(
        self, request: CollectRequest, limit: int | None, indices: list[int] | None = None
    ) -> list[tuple[Ref, WorkerStats]]:
        """A rollout of each worker (or of `indices`), and its stats."""
        rollouts: dict[int, Ref] = {}

        def ask(worker: Handle, index: int) -> Ref:
            rollouts[index], stats = self._collect(worker, request, limit)
            return stats

        answers = self.ask(ask, indices)
        self.delivered = True
        return [(rollouts[index], stats) for index, (stats, _) in zip(sorted(rollouts), answers, strict=True)]

    def _collect(self, worker: Handle, request: CollectRequest, limit: int | None) -> tuple[Ref, Ref]:
        collect = worker.collect.options(num_returns=2)
        refs: tuple[Ref, Ref] = collect.remote(request.n_steps, request.step, request.weights, limit, request.version)
        return refs

    def states(self) -> list[dict[str, Any]]:
        """State of every worker."""
        return self.ask(lambda worker, index: worker.state_dict.remote())

    def load_states(self, states: list[dict[str, Any]]) -> list[str]:
        """Hand every worker its state; a line for each environment that did not come back equal."""
        answers = self.ask(lambda worker, index: worker.load_state_dict.remote(states[index]))
        return [line for lines in answers for line in lines]

    def hosts(self) -> set[str]:
        """The machines that they are on."""
        return {host for host, _ in self.ask(lambda worker, index: worker.where.remote())}

    # one by one

    def least_busy(self) -> tuple[int, int]:
        """The worker that has the fewest rollouts before it, and how many these are."""
        busy = Counter(dict.fromkeys(range(self.n_workers), 0))
        busy.update(pending.worker for pending in self.in_flight.values())
        return min(busy.items(), key=itemgetter(1))

    def submit(self, index: int, request: CollectRequest, limit: int | None) -> None:
        """Give a worker a rollout to collect, after those that it has."""
        ahead = sum(pending.worker == index for pending in self.in_flight.values())
        rollout, stats = self._collect(self.handles[index], request, limit)
        deadline = self._deadline(index) + ahead * self.actor_config.cfg.general_cfg.worker_timeout
        self.in_flight[stats] = InFlightRollout(index, self.restarts[index], request, rollout, deadline)

    def receive(self, ref: Ref, limit: int | None) -> tuple[InFlightRollout, WorkerStats, float] | None:
        """A rollout that has arrived, its stats and seconds; None if its worker failed: another collects it."""
        pending = self.in_flight.pop(ref)
        try:
            if not self.cluster.ready(ref, pending.deadline):
                raise CallFailed("its rollout was late")
            stats, seconds = self.cluster.get(ref)
        except CallFailed as failure:
            if pending.restart == self.restarts[pending.worker]:  # else it was lost with one that is replaced already
                self.replace(pending.worker, failure)
            self.submit(pending.worker, pending.request, limit)
            return None
        self.delivered = True
        self.fresh.discard(pending.worker)
        return pending, stats, seconds

    def in_order(self, refs: list[Ref]) -> list[Ref]:
        """Without rollouts whose worker has an earlier one that is yet to come: answers may overtake each other."""
        here, waited_for = set(refs), set()
        for ref, pending in self.in_flight.items():
            if ref not in here:
                waited_for.add(pending.worker)
            elif pending.worker in waited_for:
                here.remove(ref)
        return [ref for ref in refs if ref in here]

    def overdue(self) -> list[Ref]:
        """Rollouts that should have arrived."""
        now = time.monotonic()
        return [ref for ref, pending in self.in_flight.items() if now > pending.deadline]

    def cancel(self) -> None:
        """Forget what is in flight; their workers will be done with them before they do anything else."""
        self.in_flight = {}

"""The workers of a Ray run, asked together or sent off one by one, and its evaluator; replaced where they fail."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from framework.distributed.actors import EvaluatorActor, Plan, WorkerActor
from framework.distributed.failures import CallFailed, PartLost
from framework.distributed.pacing import Order
from framework.training.evaluator import Evaluation
from framework.training.worker import WorkerStats

if TYPE_CHECKING:
    from framework.distributed.cluster import Cluster

Handle: TypeAlias = Any  # of an actor
Ref: TypeAlias = Any  # to an object


Fault: TypeAlias = Callable[[str, str, str], None]  # of a part, with a cause, and what is done about it


@dataclass
class Flight:
    """A rollout that a worker is collecting, or is to collect next."""

    worker: int
    restart: int  # of the worker that it was given to
    order: Order
    rollout: Ref
    deadline: float


class Crew:
    """All workers. `fault(part, cause, action)` is told of each that failed, and may end the run by raising."""

    def __init__(self, cluster: "Cluster", plan: Plan, exact: bool, fault: Fault):
        self.cluster, self.plan, self.fault = cluster, plan, fault
        self.action = "replaced; the rollout it was at is dropped" + (", the run is no longer exact" if exact else "")
        self.n_workers = plan.cfg.general_cfg.n_workers
        self.restarts = [0] * self.n_workers
        self.fresh = set(range(self.n_workers))  # they have not answered yet
        self.delivered = False  # any of them has brought a rollout
        self.handles = [self._hire(index) for index in range(self.n_workers)]
        self.flights: dict[Ref, Flight] = {}

    def _hire(self, index: int) -> Handle:
        return self.cluster.spawn(WorkerActor, self.plan, index, self.restarts[index])

    def _deadline(self, index: int) -> float:
        return self.cluster.deadline(starting=index in self.fresh)

    def replace(self, index: int, failure: CallFailed) -> None:
        """A new worker in the place of one that failed, with random streams of its own."""
        if failure.lost_input:
            raise PartLost("the learner", "its weights were lost with its machine")
        if not self.delivered:
            failure.raise_if_hopeless(f"worker {index}", startup=True)
        self.cluster.kill(self.handles[index])
        self.fault(f"worker {index}", failure.cause, self.action)
        self.restarts[index] += 1
        self.handles[index] = self._hire(index)
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
        self, order: Order, limit: int | None, indices: list[int] | None = None
    ) -> list[tuple[Ref, WorkerStats]]:
        """A rollout of each worker (or of `indices`), and its stats."""
        rollouts: dict[int, Ref] = {}

        def ask(worker: Handle, index: int) -> Ref:
            rollouts[index], stats = self._collect(worker, order, limit)
            return stats

        answers = self.ask(ask, indices)
        self.delivered = True
        return [(rollouts[index], stats) for index, (stats, _) in zip(sorted(rollouts), answers, strict=True)]

    def _collect(self, worker: Handle, order: Order, limit: int | None) -> tuple[Ref, Ref]:
        collect = worker.collect.options(num_returns=2)
        refs: tuple[Ref, Ref] = collect.remote(order.n_steps, order.step, order.weights, limit, order.version)
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
        busy.update(flight.worker for flight in self.flights.values())
        return min(busy.items(), key=itemgetter(1))

    def launch(self, index: int, order: Order, limit: int | None) -> None:
        """Give a worker a rollout to collect, after those that it has."""
        ahead = sum(flight.worker == index for flight in self.flights.values())
        rollout, stats = self._collect(self.handles[index], order, limit)
        deadline = self._deadline(index) + ahead * self.plan.cfg.general_cfg.worker_timeout
        self.flights[stats] = Flight(index, self.restarts[index], order, rollout, deadline)

    def land(self, ref: Ref, limit: int | None) -> tuple[Flight, WorkerStats, float] | None:
        """A rollout that has arrived, its stats and seconds; None where its worker failed: another collects it."""
        flight = self.flights.pop(ref)
        try:
            if not self.cluster.ready(ref, flight.deadline):
                raise CallFailed("it was not there yet")
            stats, seconds = self.cluster.get(ref)
        except CallFailed as failure:
            if flight.restart == self.restarts[flight.worker]:  # else it was lost with one that is replaced already
                self.replace(flight.worker, failure)
            self.launch(flight.worker, flight.order, limit)
            return None
        self.delivered = True
        self.fresh.discard(flight.worker)
        return flight, stats, seconds

    def in_order(self, refs: list[Ref]) -> list[Ref]:
        """Without rollouts whose worker has an earlier one that is yet to come: answers may overtake each other."""
        here, waited_for = set(refs), set()
        for ref, flight in self.flights.items():
            if ref not in here:
                waited_for.add(flight.worker)
            elif flight.worker in waited_for:
                here.remove(ref)
        return [ref for ref in refs if ref in here]

    def overdue(self) -> list[Ref]:
        """Flights that should have arrived."""
        now = time.monotonic()
        return [ref for ref, flight in self.flights.items() if now > flight.deadline]

    def recall(self) -> None:
        """Forget all flights; their workers will be done with them before they do anything else."""
        self.flights = {}


class Judge:
    """The evaluator: judges weights one after the other, beside training."""

    def __init__(self, cluster: "Cluster", plan: Plan, fault: Fault):
        self.cluster, self.plan, self.fault = cluster, plan, fault
        self.handle: Handle | None = None
        self.asked: list[tuple[int, Ref]] = []  # update step and weights of what is not answered
        self.answers: list[tuple[Ref, float]] = []  # and the answers to come, with their deadlines

    def ask(self, weights: Ref, update_step: int) -> None:
        """Have weights evaluated as those of an update step, which gives the seeds."""
        starting = self.handle is None
        if self.handle is None:
            self.handle = self.cluster.spawn(EvaluatorActor, self.plan, "evaluation")
        general = self.plan.cfg.general_cfg
        self.asked.append((update_step, weights))
        answer = self.handle.evaluate.remote(weights, general.online_eval_episode, update_step)
        before_it = len(self.answers) * general.worker_timeout  # one evaluation after the other
        self.answers.append((answer, self.cluster.deadline(starting) + before_it))

    def answer(self, wait: bool) -> Evaluation | None:
        """The next evaluation, None if it is not there yet; with `wait` None only if none was asked for."""
        while self.answers:
            ref, deadline = self.answers[0]
            try:
                if self.cluster.ready(ref, deadline):
                    result: Evaluation = self.cluster.get(ref)
                    del self.asked[0], self.answers[0]
                    return result
                if not wait:
                    return None
                self.cluster.wait([ref])
            except CallFailed as failure:
                failure.raise_if_hopeless("the evaluator")
                self._replace(failure.cause)
        return None

    def _replace(self, cause: str) -> None:
        self.fault("the evaluator", cause, "replaced; it evaluates again what it owes")
        self.cluster.kill(self.handle)
        owed = self.asked
        self.handle, self.asked, self.answers = None, [], []
        for update_step, weights in owed:
            self.ask(weights, update_step)

    def recall(self) -> None:
        """Forget what was asked."""
        self.asked, self.answers = [], []

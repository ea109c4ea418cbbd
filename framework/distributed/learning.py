"""Learning in separate processes: batches go from the server to the learners, and updates come back."""

import logging
import secrets
import statistics
from collections.abc import Iterator
from typing import Any

from algos.base import Algorithm
from algos.common.peers import FILE
from algos.data import LearnOutput
from algos.networks.state import tree_map
from framework.distributed.actors import Learned, LearnerActor, MeetingPlace, on_cpu, writable
from framework.distributed.cluster import Handle
from framework.distributed.failures import PartLost
from framework.distributed.traffic import PendingUpdate, RemoteServer, Traffic
from framework.training.callbacks import Callbacks
from framework.training.learner import Learner

log = logging.getLogger("joyride")


class RemoteLearning:
    """Learners with the interface of framework.training.parts.Learning; `learner` is the driver's copy."""

    def __init__(self, traffic: Traffic, server: RemoteServer, learner: Learner, callbacks: Callbacks):
        self.traffic, self.server, self.learner, self.callbacks = traffic, server, learner, callbacks
        self.cluster, self.pacing, self.counters = traffic.cluster, traffic.pacing, traffic.counters
        self.learners: list[Handle] = []
        self.pulled_at = -1  # update step of the driver's copy
        self.last_acted = 0.0  # version of the weights behind what was learned last
        self.updates_a_batch = 0 if self.pacing.on_policy else 1  # the most that any made; 0: not known
        self.told = False

    def start(self) -> None:
        """Start the learners with the state of the driver's copy, and wait until they are ready."""
        cluster, config, n = self.cluster, self.traffic.actor_config, self.counters.cfg.n_learners
        state = cluster.put(tree_map(on_cpu, self.learner.state_dict()))
        device = "cuda" if cluster.gpus else "cpu"
        self.learners = [cluster.spawn(LearnerActor, config, device, gpus=cluster.gpus) for _ in range(n)]
        first, place = self.learners[0], self._meeting_place()
        for rank, ref in enumerate([h.build.remote(state, place, r, n) for r, h in enumerate(self.learners)]):
            cluster.value(ref, f"learner {rank}", starting=True)
        self.traffic.take(first.weights.remote())

    def _meeting_place(self) -> MeetingPlace:
        """Of several learners: a file if all are on this machine, else an address of the first."""
        cluster = self.cluster
        if len(self.learners) == 1:
            return MeetingPlace("")
        if cluster.folder is not None:
            return MeetingPlace(f"{FILE}{cluster.folder}/learners-{secrets.token_hex(4)}")
        address = self.learners[0].address.remote(cluster.head)
        return MeetingPlace(cluster.value(address, "learner 0", starting=True))

    def due(self) -> bool:
        """Whether the learners can have more batches.

        async: some may wait, unless the model is to be saved before them, or those before are so few that what comes
        in meanwhile had better go along; while a run settles replay begins no more.
        """
        self.pacing.owed += sum(self.server.stored(wait=self.traffic.exact))
        pending = self.traffic.updates
        if not self.pacing.owed or (self.pacing.settling and not self.pacing.on_policy):
            return False
        if not pending:
            return True
        alone = len(pending) > 1 or bool(self.callbacks.callbacks) or self.pacing.short(pending[0].updates)
        return not alone and pending[0].updates < self.counters.updates_to_save()

    def submit(self) -> None:
        """Have the learners learn from as many batches as are worth a call."""
        n = self._batches()
        self.pacing.owed -= n
        batches = self.server.handle.sample.remote(n)
        answers = [learner.learn.options(num_returns=2).remote(batches) for learner in self.learners]
        stats, updates = [first for first, _ in answers], n * (self.updates_a_batch or self.counters.save_period)
        lag = self._lag()
        age = self.traffic.age(self.last_acted)
        pending = PendingUpdate(stats, answers[0][1], n, updates, lag, age, self.cluster.deadline())
        self.traffic.updates.append(pending)

    def _lag(self) -> float:
        """Versions that the weights have moved on since the rollouts that are learned now (on-policy) or came last."""
        traffic = self.traffic
        size = self.pacing.size if self.pacing.on_policy else len(traffic.acted)
        acted, traffic.acted = traffic.acted[:size], traffic.acted[size:]
        if acted:
            self.last_acted = statistics.fmean(acted)
        return traffic.version + len(traffic.updates) - self.last_acted

    def _batches(self) -> int:
        """How many: not beyond the next update at which a model is saved; one by one where callbacks look on."""
        traffic = self.traffic
        if self.pacing.on_policy or self.callbacks.callbacks or (traffic.exact and traffic.spec.prioritized):
            return 1
        to_save = self.counters.updates_to_save() - sum(pending.updates for pending in traffic.updates)
        return min(self.pacing.owed, self.pacing.batches(), to_save)

    def receive(self) -> Iterator[LearnOutput]:
        """Updates that have come back, in their order; exact: all that were sent."""
        pending = self.traffic.updates
        while pending and (self.traffic.exact or self.cluster.wait(pending[0].answers[:1], seconds=0)):
            yield from self._received(pending[0])

    def _received(self, pending: PendingUpdate) -> list[LearnOutput]:
        try:
            answers = [self.cluster.value(ref, f"learner {rank}") for rank, ref in enumerate(pending.answers)]
        except PartLost:
            self.server.updates_due()  # was it the server which failed?
            raise
        learned: Learned = answers[0]
        outputs = learned.outputs
        del self.traffic.updates[0]
        both = zip(learned.rows, outputs, strict=True)
        pairs = [(index, output.priorities) for index, output in both if output.priorities is not None]
        if pairs:
            self.server.handle.update_priorities.remote(*pairs)
        self.traffic.take(pending.weights)
        self.pacing.learned += pending.batches
        updates = sum(output.updates for output in outputs)
        self.updates_a_batch = max(self.updates_a_batch, -(-updates // pending.batches))
        self.pacing.saw_updates(learned.seconds, updates)
        if not self.traffic.exact:
            for output in outputs:
                lag = {"time/policy_lag": pending.lag, "time/policy_lag_seconds": pending.age}
                output.metrics = {**output.metrics, **lag}
        if not self.told and not self.pacing.on_policy:
            self._tell_batches()
        return outputs

    def _tell_batches(self) -> None:
        self.told = True
        call, update, n = self.pacing.call_seconds, self.pacing.update_seconds, self.pacing.batches()
        log.info(
            "an update takes %.2f ms, a call %.2f ms, so each call carries %d batches", 1e3 * update, 1e3 * call, n
        )

    @property
    def algorithm(self) -> Algorithm:
        """The driver's copy of the algorithm, brought up to date."""
        if self.pulled_at != self.counters.update_step:
            state = self.cluster.value(self.learners[0].state_dict.remote(), "learner 0")
            self.learner.load_state_dict(tree_map(writable, state))
            self.pulled_at = self.counters.update_step
        return self.learner.algorithm

    def state_dict(self) -> dict[str, Any]:
        """State of the learners, which are all equal."""
        assert self.algorithm is not None  # the copy is up to date
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore what `state_dict` returned; learners that are started next have it. A line for what cannot be."""
        self.pulled_at = self.counters.update_step
        return self.learner.load_state_dict(state)

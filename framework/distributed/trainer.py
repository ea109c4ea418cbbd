"""Training with every part in a process of its own: the trainer's loop over lessons that are sent and come back."""

import logging
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from algos.networks.state import tree_map
from framework.distributed.actors import LearnerActor, Plan, ServerActor, on_cpu, weights_of, writable
from framework.distributed.driver import RayDriver
from framework.distributed.failures import PartLost
from framework.distributed.worker_pool import Handle, Judge, Ref
from framework.runs.checkpoint import load_checkpoint
from framework.settings.schema import GeneralConfig
from framework.training.driver import Parts
from framework.training.learner import Learner
from framework.training.recorder import Recorder
from framework.training.trainer import Trainer

if TYPE_CHECKING:
    from framework.distributed.cluster import Cluster

log = logging.getLogger("joyride")


@dataclass
class Lesson:
    """Batches that the learners are learning from."""

    answers: list[Ref]
    weights: Ref
    batches: int
    updates: int  # that it is thought to make: on-policy, as many as any before it
    lag: float  # versions of weights between acting and learning
    deadline: float


class RayTrainer(RayDriver, Trainer):
    """Trains with every part in a process of its own; `learner` is the driver's copy, for models and checkpoints.

    A server or learner that dies takes the run back to its last checkpoint, as a resumed run goes on.
    """

    def __init__(
        self,
        parts: Parts,
        learner: Learner,
        cfg: GeneralConfig,
        model_info: dict[str, Any],
        cluster: "Cluster",
        plan: Plan,
    ):
        super().__init__(parts, learner, None, cfg, model_info)
        self.set_up(cluster, plan)
        self.learners: list[Handle] = []
        self.judge = Judge(cluster, plan, self.fault)
        self.stores: dict[Ref, float] = {}  # what the server is storing, with deadlines
        self.lessons: list[Lesson] = []  # what the learners are learning and, in async mode, have before them
        self.arrived: list[Ref] = []  # rollouts of a round or group that are yet to be stored
        self.pulled_at = -1  # update step of the driver's copy of the learner
        self.last_acted = 0.0  # version of the weights behind what was learned last
        self.updates_a_batch = 0 if self.pacing.on_policy else 1  # the most that any made; 0: not known
        self.told = False
        self._hire_server()

    def _hire_server(self) -> None:
        together = self.cfg.n_workers if self.exact else self.pacing.size
        self.server = self.cluster.spawn(ServerActor, self.plan, self.spec, together)

    def _hire_learners(self) -> None:
        n, state = self.cfg.n_learners, self.cluster.put(tree_map(on_cpu, self.learner.state_dict()))
        device, head = "cuda" if self.cluster.gpus else "cpu", self.cluster.head
        spawn = self.cluster.spawn
        self.learners = [spawn(LearnerActor, self.plan, device, gpus=self.cluster.gpus) for _ in range(n)]
        address = self.cluster.value(self.learners[0].address.remote(head), "learner 0", starting=True) if n > 1 else ""
        for rank, ref in enumerate([h.build.remote(state, address, r, n) for r, h in enumerate(self.learners)]):
            self.cluster.value(ref, f"learner {rank}", starting=True)
        self.weights, self.version = self.learners[0].weights.remote(), self.version + 1

    def run(self) -> str:
        """Train; after the loss of the server or a learner, go on from the last checkpoint."""
        while True:
            try:
                self._hire_learners()
                self.start()
                self.pacing.owed = self.cluster.value(self.server.updates_due.remote(), "the server", starting=True)
                return super().run()
            except PartLost as lost:
                self._recover_from(lost)

    def _recover_from(self, lost: PartLost) -> None:
        while True:
            try:
                return self.recover(lost)
            except PartLost as another:
                lost = another

    def recover(self, lost: PartLost) -> None:
        """Replace server and learners, and take every part back to the newest whole checkpoint."""
        self.fault(lost.part, lost.cause, "replaced; the run goes back to its last checkpoint")
        for handle in (self.server, *self.learners):
            self.cluster.kill(handle)
        self.crew.recall()
        self.written_by = list(self.crew.restarts)  # whoever they are, they take over the checkpoint's episodes
        self.landed, self.acted = {}, []
        self.judge.recall()
        self.pending, self.stores, self.lessons, self.arrived, self.pulled_at = [], {}, [], [], -1
        self._hire_server()
        found = load_checkpoint(self.folder.checkpoints)
        if found is None:  # a run begins with one: nothing was done before it
            self.waits_since = self.recorder.wall_time()
            return
        state = found[1]
        self.recorder.close()
        names, interval = list(self.recorder.loggers), self.recorder.log_interval
        self.recorder = Recorder(self.folder, names, interval, state["recorder"])
        self.waits_since = self.recorder.wall_time()
        self.load_checkpoint(state)

    # learning

    def iterate(self) -> None:
        self.receive_evaluations()
        self.call("pre_iteration")
        if self.exact:
            self.collect()
            self.pacing.owed += self.cluster.value(self._store_arrived(), "the server")
            while self.pacing.owed > 0 and not self.stop_reason:
                self._send_batches()
                self._receive_updates()
        else:
            self.step()
        self.call("post_iteration")

    def store(self, rollout: Ref) -> None:
        self.arrived.append(rollout)

    def _store_arrived(self) -> Ref:
        """Hand a round's rollouts to the server with one call; what it makes due comes back."""
        rollouts, self.arrived = self.arrived, []
        return self.server.put.remote(*rollouts)

    def step(self, begin: bool = True) -> None:
        """async: keep workers and learners busy, and take in what arrives next."""
        while self._more_to_learn() and (begin or self.pacing.on_policy):
            self._send_batches()
        self.send(begin)
        for ref in self.arrivals([*self.crew.flights, *self.stores, *(lesson.answers[0] for lesson in self.lessons)]):
            if ref in self.crew.flights:
                self.land(ref)
            elif ref in self.stores:
                del self.stores[ref]
                self.pacing.owed += self.cluster.value(ref, "the server")
            else:
                self._receive_updates()  # of the first lesson: they come back in their order

    def _take_group(self, group: int) -> None:
        super()._take_group(group)
        self.stores[self._store_arrived()] = self.cluster.deadline()

    def arrivals(self, refs: list[Ref]) -> list[Ref]:
        overdue = [("the server", ref, deadline) for ref, deadline in self.stores.items()]
        overdue += [("learner 0", lesson.answers[0], lesson.deadline) for lesson in self.lessons]
        for part, ref, deadline in overdue:
            if time.monotonic() > deadline:
                with self.cluster.vital(part):
                    self.cluster.ready(ref, deadline)
        return super().arrivals(refs)

    def _more_to_learn(self) -> bool:
        """Whether the learners can have another lesson.

        One may wait, unless the model is to be saved before it, or the one before it is so short that what comes in
        meanwhile had better go along.
        """
        if not self.pacing.owed or not self.lessons:
            return self.pacing.owed > 0
        alone = len(self.lessons) > 1 or bool(self.callbacks.callbacks) or self.pacing.short(self.lessons[0].updates)
        return not alone and self.lessons[0].updates < self._updates_to_save()

    def _updates_to_save(self) -> int:
        return self.cfg.model_save_fre - self.update_step % self.cfg.model_save_fre

    def _send_batches(self) -> None:
        """Have the learners learn from as many batches as are worth a call."""
        self.call("pre_update")
        n = self._batches()
        self.pacing.owed -= n
        batches = self.server.sample.remote(n)
        answers = [learner.learn.options(num_returns=2).remote(batches) for learner in self.learners]
        stats, updates = [first for first, _ in answers], n * (self.updates_a_batch or self.cfg.model_save_fre)
        self.lessons.append(Lesson(stats, answers[0][1], n, updates, self._lag(), self.cluster.deadline()))

    def _lag(self) -> float:
        """Versions that the weights have moved on since the rollouts that are learned now (on-policy) or came last."""
        size = self.pacing.size if self.pacing.on_policy else len(self.acted)
        acted, self.acted = self.acted[:size], self.acted[size:]
        if acted:
            self.last_acted = statistics.fmean(acted)
        return self.version + len(self.lessons) - self.last_acted

    def _batches(self) -> int:
        """How many: not beyond the next update at which a model is saved; one by one where callbacks look on."""
        if self.pacing.on_policy or self.callbacks.callbacks or (self.exact and self.spec.prioritized):
            return 1
        to_save = self._updates_to_save() - sum(lesson.updates for lesson in self.lessons)
        return min(self.pacing.owed, self.pacing.batches(), to_save)

    def _receive_updates(self) -> None:
        lesson = self.lessons[0]
        try:
            answers = [self.cluster.value(ref, f"learner {rank}") for rank, ref in enumerate(lesson.answers)]
        except PartLost:
            self.cluster.value(self.server.updates_due.remote(), "the server")  # was it that which failed?
            raise
        outputs, seconds = answers[0]
        del self.lessons[0]
        pairs = [(output.index, output.priorities) for output in outputs if output.priorities is not None]
        if pairs:
            self.server.update_priorities.remote(*pairs)
        self.weights = lesson.weights
        self.version += 1
        self.pacing.learned += lesson.batches
        updates = sum(output.updates for output in outputs)
        self.updates_a_batch = max(self.updates_a_batch, -(-updates // lesson.batches))
        self.pacing.saw_updates(seconds, updates)
        for output in outputs:
            if not self.exact:
                output.metrics["time/policy_lag"] = lesson.lag
            self.learned(output)
        if not self.told and not self.pacing.on_policy:
            self._tell_batches()

    def _tell_batches(self) -> None:
        self.told = True
        call, update, n = self.pacing.call_seconds, self.pacing.update_seconds, self.pacing.batches()
        log.info("an update takes %.2f ms, a call %.2f ms: a call carries %d batches", 1e3 * update, 1e3 * call, n)

    def under_way(self) -> bool:
        if super().under_way() or self.stores or self.lessons:
            return True
        unfinished = self.pacing.on_policy and (self.pacing.owed > 0 or self.pacing.places > 0)
        return unfinished and self._episodes_left() != 0

    def quiet(self) -> bool:
        return super().quiet() and self.pacing.owed == 0

    # evaluation, beside training

    def evaluate_as(self, update_step: int, env_step: int) -> None:
        """Send the weights to the judge; who must know the result before going on waits for it."""
        self.pending.append((update_step, env_step))
        self.judge.ask(self.cluster.put(weights_of(self.learner.algorithm.policy)), update_step)
        if self.exact and (self.cfg.reward_threshold is not None or self.callbacks.callbacks):
            self.receive_evaluations(wait=True)

    def receive_evaluations(self, wait: bool = False) -> None:
        """Take in the evaluations that are finished, in their order; `wait`: all of them."""
        while (result := self.judge.answer(wait)) is not None:
            self.evaluated(result, *self.pending.pop(0))

    def evaluate(self) -> None:
        self._pull()
        super().evaluate()

    def finish(self) -> None:
        self.drain()
        super().finish()
        self.receive_evaluations(wait=True)

    # state

    def _pull(self) -> None:
        """Bring the driver's copy of the learner up to date."""
        if self.pulled_at != self.update_step:
            state = self.cluster.value(self.learners[0].state_dict.remote(), "learner 0")
            self.learner.load_state_dict(tree_map(writable, state))
            self.pulled_at = self.update_step

    def save_model(self, name: str) -> None:
        self._pull()
        super().save_model(name)

    def checkpoint_parts(self) -> dict[str, Any]:
        self._pull()
        return super().checkpoint_parts()

    def load_parts(self, parts: dict[str, Any]) -> None:
        super().load_parts(parts)
        self.pulled_at = self.update_step

    def data_states(self) -> dict[str, Any]:
        server = self.cluster.value(self.server.state_dict.remote(), "the server")
        return {"server": server, "workers": self.crew.states()}

    def load_data_states(self, server: dict[str, Any], workers: list[dict[str, Any]]) -> list[str]:
        self.cluster.value(self.server.load_state_dict.remote(server), "the server")
        return self.crew.load_states(workers)

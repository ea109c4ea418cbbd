"""The Ray driver: the parts of the single process as actors, and the same loop with `.remote`.

Rollouts, batches and weights travel as references, from worker to server to learner; the driver sees small stats.
"""

import atexit
import logging
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do one day anyway; silences a warning
os.environ.setdefault("RAY_worker_niceness", "0")  # actors are not behind whatever else the machine does

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from algos.base import DataSpec
from algos.common.errors import UserError
from algos.networks.state import tree_map
from framework import resources
from framework.actors import EvaluatorActor, LearnerActor, Plan, ServerActor, WorkerActor, on_cpu, writable
from framework.build import Environments
from framework.checkpoint import load_checkpoint
from framework.config import Config
from framework.driver import Driver, Parts
from framework.evaluator import Evaluation
from framework.faults import FaultLog, PartFailed, PartLost, cause_in, user_error_in, user_frames
from framework.learner import Learner
from framework.pacing import Order, Pacing
from framework.recorder import Recorder
from framework.schema import GeneralConfig
from framework.seeds import stream
from framework.trainer import Collector, Trainer
from framework.worker import WorkerStats

log = logging.getLogger("joyride")

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = ["tasks", ".git", ".venv", "tests", "docs", "benchmarks", "**/__pycache__", ".mypy_cache", ".ruff_cache"]
LOOK = 0.5  # seconds between two looks at signals and deadlines while nothing arrives
BATCHES = 32  # minibatches that one call to the learner may carry
PINGS = 20  # calls whose median is the cost of a call
Handle: TypeAlias = Any  # of an actor
Ref: TypeAlias = Any  # to an object


class Cluster:
    """Ray for one run: started here, or joined at `ray_address`. Leaving it leaves no process of the run behind."""

    def __init__(self, cfg: Config, spec: DataSpec, envs: Environments):
        self.general = general = cfg.general_cfg
        self.begun = time.monotonic()
        self.handles: dict[Handle, Ref] = {}  # and where each lives
        self.folder: str | None = None
        spaces = (envs.obs_space, envs.action_space)
        free = resources.free_memory()
        rollout = resources.rollout_bytes(spec, *spaces, general.n_envs, max(spec.n_steps, spec.train_freq))
        batches = BATCHES * spec.batch_size * resources.transition_bytes(*spaces)
        needed = 3 * general.n_workers * rollout + batches
        try:
            if general.ray_address is None:
                size = resources.object_store_bytes(needed, free, resources.free_shm())
                self._start(size)
            else:
                self._join(general.ray_address)
            self._plan_resources()
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def _start(self, object_store: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="joyride-ray-")
        # what this process can import, its actors can; they inherit the environment of Ray's processes
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *(path for path in sys.path if path)]))
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=object_store,
            _temp_dir=self.folder,
        )

    def _join(self, address: str) -> None:
        """Join a running cluster; the checkout's code goes along."""
        shipped = {"working_dir": str(ROOT), "excludes": NOT_SHIPPED}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=shipped)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"general_cfg.ray_address={address}: no Ray cluster answers there ({reason}); start one with"
                " `ray start --head`, or leave ray_address out"
            ) from None

    def _plan_resources(self) -> None:
        """Refuse or share out what the cluster has."""
        general, total, free = self.general, ray.cluster_resources(), ray.available_resources()
        self.gpus = resources.learner_gpus(general.device, general.n_learners, free.get("GPU", 0))
        nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        self.share = resources.cpu_share(general.n_workers + general.n_learners, nodes)
        warning = resources.oversubscribed(general.n_workers, general.n_learners, total.get("CPU", 0))
        if warning:
            log.warning("%s", warning)

    def spawn(self, kind: type, *args: Any, gpus: int = 0) -> Handle:
        """An actor; its process may not be up yet. Workers are spread over the nodes, the evaluator stays here."""
        place: Any = "SPREAD" if kind is WorkerActor else "DEFAULT"
        if kind is EvaluatorActor:
            place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        cpus = self.share if kind in (WorkerActor, LearnerActor) else 0
        if ray.available_resources().get("CPU", 0) < cpus:
            cpus = 0  # Ray would wait for ever for what is not free
        actor: Any = ray.remote(kind).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, scheduling_strategy=place
        )
        handle = actor.remote(*args)
        self.handles[handle] = handle.where.remote()
        return handle

    def kill(self, handle: Handle) -> None:
        """End an actor's process, also one that hangs or is stopped."""
        where = self.handles.pop(handle, None)
        with suppress(RayError, ValueError):
            host, pid = ray.get(where, timeout=0)
            if host == socket.gethostname():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with suppress(RayError, ValueError):
            ray.kill(handle)

    def call_seconds(self, handle: Handle) -> float:
        """What an empty call costs, there and back."""
        times = []
        for _ in range(PINGS):
            start = time.perf_counter()
            ray.get(handle.where.remote())
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def close(self) -> None:
        """End the run's actors, and Ray if it was started here."""
        atexit.unregister(self.close)
        if ray.is_initialized():
            for handle in list(self.handles):
                self.kill(handle)
            ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass
class Flight:
    """A rollout that a worker is collecting."""

    worker: int
    order: Order
    rollout: Ref
    deadline: float


class RayDriver(Driver):
    """What both Ray drivers share: workers elsewhere, which are replaced where they fail."""

    def set_up(self, cluster: Cluster, plan: Plan) -> None:
        """Start the workers."""
        self.cluster, self.plan = cluster, plan
        self.faults = FaultLog(self.folder.results, self.cfg.max_worker_restarts)
        self.exact = self.cfg.sync == "exact"
        self.restarts = [0] * self.cfg.n_workers
        self.workers = [self._hire(index) for index in range(self.cfg.n_workers)]
        self.weights: Ref = ray.put({name: value.cpu().numpy() for name, value in self.policy.net.state_dict().items()})
        self.version = 0  # of the weights
        self.flights: dict[Ref, Flight] = {}
        self.landed: dict[int, list[tuple[Flight, WorkerStats]]] = {}  # rollouts of groups that are not complete
        self.idle = list(range(self.cfg.n_workers))
        self.next_group = 0  # on-policy groups are learned in order
        self.delivered = False  # any worker has brought a rollout
        self.acted: list[int] = []  # versions of the weights behind rollouts that came since the last lesson
        self.last_acted = 0.0
        self.pacing = Pacing(self.spec, self.cfg.n_workers, self.cfg.n_envs, call_seconds=0.0)

    def start(self) -> None:
        """Wait for the workers, measure what a call costs, and say so."""
        began, first = self.recorder.wall_time(), not self.pacing.call_seconds
        nodes = len({host for host, _ in self.ask_workers(lambda worker, index: worker.where.remote())})
        self.pacing.call_seconds = call = self.cluster.call_seconds(self.workers[0])
        self.pacing.restart(self.env_step)
        self.recorder.started += self.recorder.wall_time() - began  # start-up is told apart
        seconds = time.monotonic() - self.cluster.begun
        if not first:
            return
        log.info(
            "started Ray %s: %d workers on %d machine%s, %s, in %.1f s; a call takes %.2f ms",
            ray.__version__, self.cfg.n_workers, nodes, "s" * (nodes > 1), self.cfg.sync, seconds, 1000 * call,
        )  # fmt: skip

    # Workers: asked together, replaced where they fail

    def _hire(self, index: int) -> Handle:
        return self.cluster.spawn(WorkerActor, self.plan, index, self.restarts[index])

    def ask_workers(self, ask: Callable[[Handle, int], Ref], indices: list[int] | None = None) -> list[Any]:
        """The answers of all workers (or of `indices`); one that fails is replaced, and asked again."""
        asked = list(range(len(self.workers))) if indices is None else indices
        waiting = {index: ask(self.workers[index], index) for index in asked}
        deadlines = dict.fromkeys(asked, time.monotonic() + self.cfg.worker_timeout)
        answers: dict[int, Any] = {}
        while waiting:
            ready, _ = ray.wait(list(waiting.values()), num_returns=len(waiting), timeout=LOOK)
            for index, ref in list(waiting.items()):
                try:
                    if ref in ready:
                        answers[index] = ray.get(ref)
                        del waiting[index]
                    elif time.monotonic() > deadlines[index]:
                        raise TimeoutError(f"no answer for {self.cfg.worker_timeout:g} s")
                except (RayError, TimeoutError) as error:
                    self.replace(index, error)
                    waiting[index] = ask(self.workers[index], index)
                    deadlines[index] = time.monotonic() + self.cfg.worker_timeout
        return [answers[index] for index in asked]

    def replace(self, index: int, error: Exception) -> None:
        """A new worker in the place of one that failed, with random streams of its own."""
        if not self.delivered and isinstance(error, RayTaskError | ActorDiedError):
            raise_if_fatal(f"worker {index}", error, startup=True)
        self.cluster.kill(self.workers[index])
        action = "replaced; the rollout it was at is dropped"
        self.fault(f"worker {index}", cause_of(error), action + (", the run is no longer exact" if self.exact else ""))
        self.restarts[index] += 1
        self.workers[index] = self._hire(index)

    def fault(self, part: str, cause: str, action: str) -> None:
        """Write down a failure; ends the run where there were too many."""
        self.faults.add(part, cause, action, self.recorder.wall_time(), self.env_step, self.update_step)

    # exact: the rounds of the single process, its workers side by side

    def rollouts(self, n_steps: int, step: int) -> Iterator[tuple[Ref, WorkerStats]]:
        """A rollout from every worker; one after the other where the limit of episodes falls among them."""
        left = self._episodes_left()
        near = left is not None and left <= n_steps * self.stride  # the limit may fall in this round
        before = self.worker_states() if near else []
        together = self._collect(n_steps, step, left)
        if left is None or sum(len(stats.episodes) for _, stats in together) < left:
            yield from together
            return
        self.load_worker_states(before)
        for index in range(len(self.workers)):
            yield from self._collect(n_steps, step, self._episodes_left(), [index])
            if self._episodes_left() == 0:
                return

    def _collect(
        self, n_steps: int, step: int, limit: int | None, indices: list[int] | None = None
    ) -> list[tuple[Ref, WorkerStats]]:
        rollouts: dict[int, Ref] = {}

        def ask(worker: Handle, index: int) -> Ref:
            rollouts[index], stats = worker.collect.options(num_returns=2).remote(n_steps, step, self.weights, limit)
            return stats

        answers = self.ask_workers(ask, indices)
        self.delivered = True
        return [(rollouts[index], stats) for index, (stats, _) in zip(sorted(rollouts), answers, strict=True)]

    # async: every worker has a rollout under way unless learning holds it back

    def send(self, begin: bool) -> None:
        """Give orders to idle workers; without `begin` only to complete the groups that have begun."""
        if self._episodes_left() == 0:
            return
        while self.idle:
            order = self.pacing.order(self.version, self.weights, self._left_to_order(), begin)
            if order is None:
                return
            self._launch(self.idle.pop(0), order)

    def _left_to_order(self) -> int | None:
        limit = self.cfg.env_step_limit
        return None if limit < 0 else self.first_env_step + limit - self.pacing.sent

    def _launch(self, index: int, order: Order) -> None:
        self.call("pre_rollout")
        collect = self.workers[index].collect.options(num_returns=2)
        rollout, stats = collect.remote(order.n_steps, order.step, order.weights, self._episodes_left())
        self.flights[stats] = Flight(index, order, rollout, time.monotonic() + self.cfg.worker_timeout)

    def land(self, ref: Ref) -> None:
        """A rollout has arrived, or its worker has failed: then another collects it."""
        flight = self.flights.pop(ref)
        try:
            if time.monotonic() > flight.deadline and not ray.wait([ref], timeout=0)[0]:
                raise TimeoutError(f"no answer for {self.cfg.worker_timeout:g} s")
            stats, seconds = ray.get(ref)
        except (RayError, TimeoutError) as error:
            self.replace(flight.worker, error)
            self._launch(flight.worker, flight.order)
            return
        self.delivered = True
        self.idle.append(flight.worker)
        self.pacing.saw_rollout(seconds, flight.order.n_steps)
        self.landed.setdefault(flight.order.group, []).append((flight, stats))
        if not self.pacing.on_policy:
            self._take_group(flight.order.group)
        while len(self.landed.get(self.next_group, ())) == self.pacing.size and self.pacing.on_policy:
            self._take_group(self.next_group)
            self.next_group += 1

    def _take_group(self, group: int) -> None:
        for flight, stats in self.landed.pop(group):
            stats.episodes = stats.episodes[: self._episodes_left()]
            self.acted.append(flight.order.version)
            self.take(flight.worker, flight.rollout, stats)
            self.call("post_rollout")

    def late(self) -> list[Ref]:
        """Rollouts that should have arrived."""
        now = time.monotonic()
        return [ref for ref, flight in self.flights.items() if now > flight.deadline]

    def check_limits(self) -> None:
        """In async mode a limit ends the run once everything under way has arrived and is learned."""
        if self.signal or self.exact or self.quiet():
            super().check_limits()

    def under_way(self) -> bool:
        """Whether anything has been sent that has not come back."""
        return bool(self.flights)

    def quiet(self) -> bool:
        """Whether nothing is under way, nor will be unless something new begins."""
        return not self.under_way()

    def drain(self) -> None:
        """async: let everything under way arrive, so that a checkpoint is of one moment."""
        while not self.exact and self.under_way():
            self.step(begin=False)

    def step(self, begin: bool = True) -> None:
        """async: send what can be sent, wait for whatever arrives next."""
        self.send(begin)
        for ref in self.arrivals(list(self.flights)):
            self.land(ref)

    def arrivals(self, refs: list[Ref]) -> list[Ref]:
        """Those that have arrived, or are overdue; waits a while for the first."""
        if refs:
            ray.wait(refs, num_returns=1, timeout=LOOK)
            refs = ray.wait(refs, num_returns=len(refs), timeout=0)[0]
        return refs + [ref for ref in self.late() if ref not in refs]

    # checkpoints

    def checkpoint(self) -> None:
        self.drain()
        super().checkpoint()

    def worker_states(self) -> list[dict[str, Any]]:
        """State of every worker."""
        return self.ask_workers(lambda worker, index: worker.state_dict.remote())

    def load_worker_states(self, states: list[dict[str, Any]]) -> list[str]:
        """Hand every worker its state."""
        answers = self.ask_workers(lambda worker, index: worker.load_state_dict.remote(states[index]))
        return [line for lines in answers for line in lines]

    def _write_trajectories(self, index: int, rollout: Any) -> None:
        super()._write_trajectories(index, ray.get(rollout))  # the only rollouts that the driver sees

    def close(self) -> None:
        super().close()
        self.faults.close()


class RayCollector(RayDriver, Collector):
    """Collects trajectories with workers in processes of their own."""

    def __init__(self, parts: Parts, cfg: GeneralConfig, cluster: Cluster, plan: Plan):
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
        self.server.put(ray.get(rollout))  # which only counts

    def data_states(self) -> dict[str, Any]:
        return {"server": self.server.state_dict(), "workers": self.worker_states()}

    def load_data_states(self, server: dict[str, Any], workers: list[dict[str, Any]]) -> list[str]:
        self.server.load_state_dict(server)
        return self.load_worker_states(workers)


@dataclass
class Lesson:
    """Batches that the learners are learning from."""

    answers: list[Ref]
    weights: Ref
    batches: int
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
        cluster: Cluster,
        plan: Plan,
    ):
        super().__init__(parts, learner, None, cfg, model_info)
        self.set_up(cluster, plan)
        self.learners: list[Handle] = []
        self.judge: Handle | None = None  # the evaluator
        self.judged: list[tuple[Ref, Ref]] = []  # result and weights of each pending evaluation
        self.stores: dict[Ref, float] = {}  # what the server is storing, with deadlines
        self.learning: Lesson | None = None
        self.put_now: list[Ref] = []  # exact: the rollouts of this round
        self.pulled_at = -1  # update step of the driver's copy of the learner
        self.told = False
        self._hire_server()

    def _hire_server(self) -> None:
        seed, n_workers = stream(self.cfg.seed, "server"), self.cfg.n_workers
        self.server = self.cluster.spawn(ServerActor, self.plan, self.spec, seed, n_workers)

    def _hire_learners(self) -> None:
        n, state = self.cfg.n_learners, ray.put(tree_map(on_cpu, self.learner.state_dict()))
        device = "cuda" if self.cluster.gpus else "cpu"
        spawn = self.cluster.spawn
        self.learners = [spawn(LearnerActor, self.plan, device, gpus=self.cluster.gpus) for _ in range(n)]
        address = self.value(self.learners[0].address.remote(), "learner 0") if n > 1 else ""
        for rank, ref in enumerate([h.build.remote(state, address, r, n) for r, h in enumerate(self.learners)]):
            self.value(ref, f"learner {rank}")
        self.weights = self.learners[0].weights.remote()

    def run(self) -> str:
        """Train; after the loss of the server or a learner, go on from the last checkpoint."""
        while True:
            try:
                self._hire_learners()
                self.start()
                self.pacing.owed = self.value(self.server.updates_due.remote(), "the server")
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
        self.flights, self.landed, self.idle, self.next_group = {}, {}, list(range(len(self.workers))), 0
        self.judged, self.stores, self.learning, self.put_now, self.pulled_at = [], {}, None, [], -1
        self._hire_server()
        found = load_checkpoint(self.folder.checkpoints)
        assert found is not None  # a run begins with one
        state = found[1]
        self.recorder.close()
        names, interval = list(self.recorder.loggers), self.recorder.log_interval
        self.recorder = Recorder(self.folder, names, interval, state["recorder"])
        self.load_checkpoint(state)

    def value(self, ref: Ref, part: str) -> Any:
        """What the server or a learner answers. Raises PartLost where it died or hangs, PartFailed where it raised."""
        deadline = time.monotonic() + self.cfg.worker_timeout
        while not ray.wait([ref], timeout=LOOK)[0]:
            if time.monotonic() > deadline:
                raise PartLost(part, f"no answer for {self.cfg.worker_timeout:g} s")
        try:
            return ray.get(ref)
        except RayError as error:
            raise_if_fatal(part, error)
            raise PartLost(part, cause_of(error)) from None

    # learning

    def iterate(self) -> None:
        self.receive_evaluations()
        self.call("pre_iteration")
        if self.exact:
            self.collect()
            self._store_round()
            while self.pacing.owed > 0 and not self.stop_reason:
                self._send_batches()
                self._receive_updates()
        else:
            self.step()
        self.call("post_iteration")

    def store(self, rollout: Ref) -> None:
        if self.exact:
            self.put_now.append(rollout)
        else:
            self.stores[self.server.put.remote(rollout)] = time.monotonic() + self.cfg.worker_timeout

    def _store_round(self) -> None:
        """exact: all rollouts of a round with one call."""
        rollouts, self.put_now = self.put_now, []
        self.pacing.owed += self.value(self.server.put.remote(*rollouts), "the server")

    def step(self, begin: bool = True) -> None:
        """async: keep workers and learners busy, and take in what arrives next."""
        self.send(begin)
        if self.learning is None and self.pacing.owed > 0 and (begin or self.pacing.on_policy):
            self._send_batches()
        refs = [*self.flights, *self.stores, *(self.learning.answers[:1] if self.learning else [])]
        for ref in self.arrivals(refs):
            if ref in self.flights:
                self.land(ref)
            elif ref in self.stores:
                del self.stores[ref]
                self.pacing.owed += self.value(ref, "the server")
            else:
                self._receive_updates()

    def late(self) -> list[Ref]:
        now = time.monotonic()
        if any(now > deadline for deadline in self.stores.values()):
            raise PartLost("the server", f"no answer for {self.cfg.worker_timeout:g} s")
        if self.learning and now > self.learning.deadline:
            raise PartLost("the learner", f"no answer for {self.cfg.worker_timeout:g} s")
        return super().late()

    def _send_batches(self) -> None:
        """Have the learners learn from as many batches as are worth a call."""
        self.call("pre_update")
        n = self._batches()
        self.pacing.owed -= n
        batches = self.server.sample.remote(n)
        answers = [learner.learn.options(num_returns=2).remote(batches) for learner in self.learners]
        deadline = time.monotonic() + self.cfg.worker_timeout
        self.learning = Lesson([stats for stats, _ in answers], answers[0][1], n, self._lag(), deadline)

    def _lag(self) -> float:
        """Versions that the weights have moved on since the rollouts that are learned now (on-policy) or came last."""
        size = self.pacing.size if self.pacing.on_policy else len(self.acted)
        acted, self.acted = self.acted[:size], self.acted[size:]
        if acted:
            self.last_acted = statistics.fmean(acted)
        return self.version - self.last_acted

    def _batches(self) -> int:
        """How many: not beyond the next update at which a model is saved; one by one where callbacks look on."""
        if self.pacing.on_policy or self.callbacks.callbacks:
            return 1
        to_save = self.cfg.model_save_fre - self.update_step % self.cfg.model_save_fre
        return min(self.pacing.owed, self.pacing.batches(), BATCHES, to_save)

    def _receive_updates(self) -> None:
        assert self.learning is not None
        lesson = self.learning
        outputs, seconds = self.value(lesson.answers[0], "learner 0")
        for rank, ref in enumerate(lesson.answers[1:], start=1):
            self.value(ref, f"learner {rank}")
        self.learning, self.weights = None, lesson.weights
        self.version += 1
        self.pacing.learned += lesson.batches
        self.pacing.saw_updates(seconds, sum(output.updates for output in outputs))
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
        if super().under_way() or self.stores or self.learning is not None:
            return True
        unfinished = self.pacing.on_policy and (self.pacing.owed > 0 or self.pacing.places > 0)
        return unfinished and self._episodes_left() != 0

    def quiet(self) -> bool:
        return super().quiet() and self.pacing.owed == 0

    # evaluation, beside training

    def evaluate_as(self, update_step: int, env_step: int) -> None:
        """Send the weights to the evaluator; who must know the result before going on waits for it."""
        weights = {name: value.numpy() for name, value in self.learner.weights().items()}
        self.pending.append((update_step, env_step))
        self.judged.append(self._send_to_judge(ray.put(weights), update_step))
        if self.exact and (self.cfg.reward_threshold is not None or self.callbacks.callbacks):
            self.receive_evaluations(wait=True)

    def _send_to_judge(self, weights: Ref, update_step: int) -> tuple[Ref, Ref]:
        if self.judge is None:
            self.judge = self.cluster.spawn(EvaluatorActor, self.plan, "evaluation")
        return self.judge.evaluate.remote(weights, self.cfg.online_eval_episode, update_step), weights

    def receive_evaluations(self, wait: bool = False) -> None:
        """Take in the evaluations that are finished, in their order; `wait`: all of them."""
        while self.judged and (wait or ray.wait([self.judged[0][0]], timeout=0)[0]):
            try:
                result: Evaluation = self.value(self.judged[0][0], "the evaluator")
            except PartLost as lost:
                self._replace_judge(lost)
                continue
            del self.judged[0]
            self.evaluated(result, *self.pending.pop(0))

    def _replace_judge(self, lost: PartLost) -> None:
        self.fault(lost.part, lost.cause, "replaced; it evaluates again what it owes")
        self.cluster.kill(self.judge)
        self.judge = None
        steps = [update_step for update_step, _ in self.pending]
        self.judged = [
            self._send_to_judge(weights, step) for (_, weights), step in zip(self.judged, steps, strict=True)
        ]

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
            state = self.value(self.learners[0].state_dict.remote(), "learner 0")
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
        server = self.value(self.server.state_dict.remote(), "the server")
        return {"server": server, "workers": self.worker_states()}

    def load_data_states(self, server: dict[str, Any], workers: list[dict[str, Any]]) -> list[str]:
        self.value(self.server.load_state_dict.remote(server), "the server")
        return self.load_worker_states(workers)


def cause_of(error: Exception) -> str:
    """Why a process failed, in one line."""
    if isinstance(error, RayTaskError):
        return cause_in(error.traceback_str)
    text = str(error)
    if "creation task" in text:
        return cause_in(text)
    if isinstance(error, OutOfMemoryError):
        return "out of memory: Ray's monitor ended its process"
    if "node" in text and "died" in text and "its node" in text:
        return "its machine was lost"
    if isinstance(error, RayActorError):
        return "its process died (killed, or out of memory)"
    return " ".join(text.split())[:200]


def raise_if_fatal(part: str, error: Exception, startup: bool = False) -> None:
    """Raise what no restart can mend: a UserError, an exception of the code; at start-up each in one line."""
    text = error.traceback_str if isinstance(error, RayTaskError) else str(error)
    raised = isinstance(error, RayTaskError) or "creation task" in text
    if not raised or "input arguments for this task could not be computed" in text:
        return
    words = user_error_in(text)
    if words is not None:
        raise UserError(words) from None
    log.error("%s failed:\n%s", part, user_frames(text))
    if startup:
        raise UserError(f"{part} failed before its first rollout: {cause_in(text)}") from None
    raise PartFailed(f"{part}: {cause_in(text)}") from None

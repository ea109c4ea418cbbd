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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do one day anyway; silences a warning
os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of rollouts that nobody waits for any more
os.environ.setdefault("RAY_worker_niceness", "0")  # actors are not behind whatever else the machine does

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from algos.base import DataSpec, Policy
from algos.common.errors import UserError
from algos.networks.state import tree_map
from framework import resources
from framework.actors import EvaluatorActor, LearnerActor, Plan, ServerActor, WorkerActor, on_cpu, weights_of, writable
from framework.build import Acting, Environments
from framework.checkpoint import load_checkpoint
from framework.config import Config
from framework.crew import Handle, Judge, Ref
from framework.driver import Parts
from framework.evaluator import Evaluation
from framework.faults import CallFailed, PartLost, cause_in
from framework.learner import Learner
from framework.pacing import BATCHES
from framework.recorder import Recorder
from framework.remote_driver import RayCollector, RayDriver
from framework.schema import GeneralConfig
from framework.trainer import Trainer

log = logging.getLogger("joyride")

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = ["tasks", ".git", ".venv", "tests", "docs", "**/__pycache__", ".mypy_cache", ".ruff_cache"]
FOLDER = "joyride-ray-"  # Ray's files of a run, in the folder for temporary files; then the process id
__all__ = ["Cluster", "RayCollector", "RayTrainer", "evaluate"]
LOOK = 0.5  # seconds between two looks at signals and deadlines while nothing arrives
START_SECONDS = 120  # that a process has for its start beside worker_timeout
PINGS = 20  # calls whose median is the cost of a call


class Cluster:
    """Ray for one run: started here, or joined at `ray_address`. Leaving it leaves no process of the run behind."""

    version = ray.__version__

    def __init__(self, cfg: Config, spec: DataSpec, envs: Environments):
        self.general = general = cfg.general_cfg
        self.begun = time.monotonic()
        self.handles: dict[Handle, Ref] = {}  # and where each lives
        self.folder: str | None = None
        # what Ray tells of processes that died, in many words, stands in the run's own log and table
        ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None
        spaces = (envs.obs_space, envs.action_space)
        free = resources.free_memory()
        rollout = resources.rollout_bytes(spec, *spaces, general.n_envs, max(spec.n_steps, spec.train_freq))
        batches = BATCHES * spec.batch_size * spec.row_steps * resources.transition_bytes(*spaces)
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
        remove_leftovers(Path(tempfile.gettempdir()))
        self.folder = tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-")
        # what this process can import, its actors can; they inherit the environment of Ray's processes
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *(path for path in sys.path if path)]))
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=object_store,
                _temp_dir=self.folder,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise UserError(f"Ray does not start on this machine: {first_line(error)}") from error

    def _join(self, address: str) -> None:
        """Join a running cluster; the checkout's code goes along."""
        if address.startswith("ray://"):
            raise UserError(
                f"general_cfg.ray_address={address} is for Ray Client; run main.py on a machine of the cluster, with"
                " ray_address=auto or <head>:6379"
            )
        check_answers(running_cluster() if address == "auto" else address)
        shipped = {"working_dir": str(ROOT), "excludes": NOT_SHIPPED}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=shipped)
        except (ConnectionError, RuntimeError, ValueError) as error:
            token = "" if "RAY_AUTH_MODE" in os.environ else " (one with a token wants RAY_AUTH_MODE=token here too)"
            reason = f"{first_line(error)}{token}"
            raise UserError(
                f"general_cfg.ray_address={address}: that cluster cannot be joined: {reason}; start one"
                " with `ray start --head`, or leave ray_address out"
            ) from None

    def _plan_resources(self) -> None:
        """Refuse or share out what the cluster has."""
        general, total, free = self.general, ray.cluster_resources(), ray.available_resources()
        self.gpus = resources.learner_gpus(general.device, general.n_learners, free.get("GPU", 0))
        if general.device == "auto":
            log.info("device=auto: the learners run on %s", "GPUs" if self.gpus else "the CPU")
        nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        self.share = resources.cpu_share(general.n_workers + general.n_learners, nodes)
        warning = resources.oversubscribed(general.n_workers, general.n_learners, total.get("CPU", 0))
        if warning:
            log.warning("%s", warning)

    def crowded(self) -> None:
        """From now on processes take any place: a machine may be lost, and Ray would wait for ever for a free one."""
        self.share = 0.0

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
        if kind in (WorkerActor, ServerActor):
            handle.step_back.remote()
        return handle

    def put(self, value: Any) -> Ref:
        """A reference to a value, which all actors can read."""
        return ray.put(value)

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

    def wait(self, refs: list[Ref], all_of_them: bool = False, seconds: float = LOOK) -> list[Ref]:
        """Those of `refs` that are there once the first is, or all are, or it is time to look at other things."""
        return list(ray.wait(refs, num_returns=len(refs) if all_of_them else 1, timeout=seconds)[0])

    def get(self, ref: Ref) -> Any:
        """What a call returned. Raises CallFailed where its process died or it raised."""
        try:
            return ray.get(ref)
        except RayError as error:
            raise call_failed(error) from None

    def ready(self, ref: Ref, deadline: float) -> bool:
        """Whether it is there. Raises CallFailed where it should long be."""
        if self.wait([ref], seconds=0):
            return True
        if time.monotonic() > deadline:
            raise CallFailed(f"no answer for {self.general.worker_timeout:g} s")
        return False

    def deadline(self, starting: bool = False) -> float:
        """When a call that is made now must have been answered; a process that is just starting has longer."""
        return time.monotonic() + self.general.worker_timeout + starting * START_SECONDS

    def value(self, ref: Ref, part: str, starting: bool = False) -> Any:
        """What the server or a learner answers. Raises PartLost where it died or hangs, its error where it raised."""
        deadline = self.deadline(starting)
        with self.vital(part):
            while not self.ready(ref, deadline):
                self.wait([ref])
            return self.get(ref)

    @contextmanager
    def vital(self, part: str) -> Iterator[None]:
        """A call that fails here is the loss of a part without which the run goes back, or a programming error."""
        try:
            yield
        except CallFailed as failure:
            failure.raise_if_hopeless(part)
            raise PartLost(part, failure.cause) from None

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
        cluster: Cluster,
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
        device, head = "cuda" if self.cluster.gpus else "cpu", ray.get_runtime_context().gcs_address.rpartition(":")[0]
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


def remove_leftovers(place: Path) -> None:
    """Delete the folders of runs that were killed before they could do so."""
    for path in place.glob(f"{FOLDER}*"):
        owner = path.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc").exists():
            shutil.rmtree(path, ignore_errors=True)


def evaluate(cfg: Config, envs: Environments, policy: Policy, episodes: int, gif: Path | None) -> Evaluation:
    """mode=test: deterministic episodes in an evaluator on this machine."""
    general = replace(cfg.general_cfg, device="cpu", n_workers=1, n_learners=1)
    with Cluster(replace(cfg, general_cfg=general), DataSpec("none"), envs) as cluster:
        judge = cluster.spawn(EvaluatorActor, Plan.of(cfg, Acting(), 0), "test")
        path = None if gif is None else gif.absolute()
        result: Evaluation = cluster.value(
            judge.evaluate.remote(weights_of(policy), episodes, 0, path), "the evaluator"
        )
        return result


def running_cluster() -> str:
    """What `auto` stands for: RAY_ADDRESS, or the cluster that was started last on this machine; "" where none was."""
    place = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    return os.environ.get("RAY_ADDRESS") or (place.read_text().strip() if place.exists() else "")


def check_answers(address: str) -> None:
    """Raise UserError where nothing listens at <host>:<port>: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"general_cfg.ray_address={address}: nothing answers there ({error}); start a cluster with"
            " `ray start --head`, or leave ray_address out"
        ) from None


def first_line(error: Exception) -> str:
    """The beginning of what Ray says, which often is long."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def call_failed(error: RayError) -> CallFailed:
    """Why a call failed, from what Ray says of it."""
    text = str(error)
    if "input arguments for this task could not be computed" in text:
        return CallFailed("what it was to take in was lost with another process", lost_input=True)
    if "torch/distributed" in text or "common/peers.py" in text:  # a learner whose peer is gone
        return CallFailed(f"the learners lost each other: {cause_in(text).partition(' This is typically')[0]}")
    if isinstance(error, RayTaskError) or "creation task" in text:
        return CallFailed(cause_in(text), text)
    if isinstance(error, OutOfMemoryError):
        return CallFailed("out of memory: Ray's monitor ended its process")
    if isinstance(error, RayActorError):
        lost = "its node has died" in text or "The node" in text
        return CallFailed("its machine was lost" if lost else "its process died (killed, or out of memory)")
    return CallFailed(" ".join(text.split())[:200])

"""The processes of one run: creates actors, waits for calls and detects failures; Ray itself is in session.py.

Rollouts, batches and weights travel as references, from worker to server to learner; the driver sees small stats.
"""

import atexit
import logging
import os
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from algos.data import DataSpec
from framework.data import memory
from framework.distributed import resources
from framework.distributed.actors import ActorConfig, EvaluatorActor, LearnerActor, ServerActor, WorkerActor
from framework.distributed.failures import CallFailed, PartLost, RayLost, cause_in
from framework.distributed.pacing import BATCHES
from framework.distributed.session import Session
from framework.settings.schema import Config
from framework.training.environments import Environments

log = logging.getLogger("joyride")

Handle: TypeAlias = Any  # of an actor
Ref: TypeAlias = Any  # to an object
LOOK = 0.5  # seconds between two looks at signals and deadlines while nothing arrives
START_SECONDS = 120  # that a process has for its start beside worker_timeout
PINGS = 20  # calls whose median is the cost of a call


class Cluster:
    """Ray for one run: started here, or joined at `ray_address`. On exit no process of the run is left."""

    version = ray.__version__

    def __init__(self, cfg: Config, spec: DataSpec, envs: Environments):
        self.general = general = cfg.general_cfg
        self.n_workers = 0 if spec.offline else general.n_workers
        self.begun = time.monotonic()
        self.handles: dict[Handle, Ref] = {}  # and where each lives
        self.session: Session | None = None
        spaces = (envs.obs_space, envs.action_space)
        free = memory.free_memory()
        rollout = memory.rollout_bytes(spec, *spaces, general.n_envs, max(spec.n_steps, spec.train_freq))
        steps = spec.n_steps if spec.offline else spec.row_steps
        batches = BATCHES * spec.batch_size * steps * memory.transition_bytes(*spaces)
        size = None
        if general.ray_address is None:
            # refused before Ray is started, which takes seconds
            resources.learner_gpus(general.device, general.n_learners, torch.cuda.device_count())
            needed = 3 * self.n_workers * rollout + batches
            size = resources.object_store_bytes(needed, free, resources.free_shm())
        try:
            self.session = Session(general.ray_address, size)
            self._plan_resources()
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def _plan_resources(self) -> None:
        """Refuse or share out what the cluster has."""
        general, total, free = self.general, ray.cluster_resources(), ray.available_resources()
        self.gpus = resources.learner_gpus(general.device, general.n_learners, free.get("GPU", 0))
        if general.device == "auto":
            log.info("device=auto: the learners run on %s", "GPUs" if self.gpus else "the CPU")
        nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        self.share = resources.cpu_share(self.n_workers + general.n_learners, nodes)
        warning = resources.oversubscribed(self.n_workers, general.n_learners, total.get("CPU", 0))
        if warning:
            log.warning("%s", warning)

    def drop_cpu_reservations(self) -> None:
        """From now on processes take any place: a machine may be lost, and Ray would wait forever for a free one."""
        self.share = 0.0

    def spawn(self, kind: type, *args: Any, gpus: int = 0) -> Handle:
        """An actor; its process may not be up yet. Workers are spread over the nodes, the evaluator stays here."""
        self.check()
        place: Any = "SPREAD" if kind is WorkerActor else "DEFAULT"
        if kind is EvaluatorActor:
            place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        cpus = self.share if kind in (WorkerActor, LearnerActor) else 0
        if ray.available_resources().get("CPU", 0) < cpus:
            cpus = 0  # Ray would wait forever for what is not free
        actor: Any = ray.remote(kind).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, scheduling_strategy=place
        )
        handle = actor.remote(*args)
        self.handles[handle] = handle.where.remote()
        if kind in _steps_aside(args[0]):
            handle.lower_priority.remote()
        return handle

    @property
    def folder(self) -> str | None:
        """A folder that all processes see and nobody else does; None where they may be on several machines."""
        return None if self.session is None else self.session.folder

    @property
    def head(self) -> str:
        """The address of the cluster's first machine."""
        address: str = ray.get_runtime_context().gcs_address
        return address.rpartition(":")[0]

    def check(self, ask: bool = False) -> None:
        """Raise RayLost if Ray itself is gone, see `Session.check`."""
        assert self.session is not None  # there are no calls before it, nor after `close`
        self.session.check(ask)

    def if_stuck(self, last_words: Callable[[RayLost], None]) -> None:
        """What to do before the process is ended, because Ray hangs and with it a call of this thread."""
        assert self.session is not None
        self.session.last_words = last_words

    def put(self, value: Any) -> Ref:
        """A reference to a value, which all actors can read."""
        self.check()
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
        self.check()
        return list(ray.wait(refs, num_returns=len(refs) if all_of_them else 1, timeout=seconds)[0])

    def get(self, ref: Ref) -> Any:
        """What a call returned. Raises CallFailed if its process died or it raised."""
        try:
            return ray.get(ref)
        except RayError as error:
            raise call_failed(error) from None

    def ready(self, ref: Ref, deadline: float) -> bool:
        """Whether it is there. Raises CallFailed if it should long be."""
        if self.wait([ref], seconds=0):
            return True
        if time.monotonic() > deadline:
            raise CallFailed(f"no answer for {self.general.worker_timeout:g} s")
        return False

    def deadline(self, starting: bool = False) -> float:
        """When a call that is made now must have been answered; a process that is just starting has longer."""
        return time.monotonic() + self.general.worker_timeout + starting * START_SECONDS

    def value(self, ref: Ref, part: str, starting: bool = False) -> Any:
        """What the server or a learner answers. Raises PartLost if it died or hangs, its error where it raised."""
        deadline = self.deadline(starting)
        with self.required(part):
            while not self.ready(ref, deadline):
                self.wait([ref])
            return self.get(ref)

    @contextmanager
    def required(self, part: str) -> Iterator[None]:
        """A call that fails here is the loss of a part without which the run goes back, or a programming error."""
        try:
            yield
        except CallFailed as failure:
            failure.raise_if_hopeless(part)
            raise PartLost(part, failure.cause) from None

    def call_seconds(self, handle: Handle) -> float:
        """Seconds that an empty call takes, there and back."""
        times = []
        for _ in range(PINGS):
            start = time.perf_counter()
            ray.get(handle.where.remote())
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def close(self) -> None:
        """End the run's actors, and Ray if it was started for it."""
        atexit.unregister(self.close)
        if self.session is not None:
            self.session.before_end()
        for handle in list(self.handles):
            self.kill(handle)
        if self.session is not None:
            self.session.end()
            self.session = None

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def call_failed(error: RayError) -> CallFailed:
    """Why a call failed, from what Ray says of it."""
    text = str(error)
    if "input arguments for this task could not be computed" in text:
        return CallFailed("its input was lost with another process", lost_input=True)
    if "torch/distributed" in text or "common/peers.py" in text:  # a learner whose peer is gone
        return CallFailed(f"the learners lost contact: {cause_in(text).partition(' This is typically')[0]}")
    if isinstance(error, RayTaskError) or "creation task" in text:
        return CallFailed(cause_in(text), text)
    if isinstance(error, OutOfMemoryError):
        return CallFailed("out of memory: Ray's memory monitor killed its process")
    if isinstance(error, RayActorError):
        lost = "its node has died" in text or "The node" in text
        return CallFailed("its machine was lost" if lost else "its process died (killed, or out of memory)")
    return CallFailed(" ".join(text.split())[:200])


def _steps_aside(config: ActorConfig) -> tuple[type, ...]:
    """Who lets others go first: a robot's control loop waits for nobody; else all others wait for the learners."""
    controlled = config.cfg.general_cfg.control_hz is not None
    return (ServerActor, LearnerActor, EvaluatorActor) if controlled else (WorkerActor, ServerActor)

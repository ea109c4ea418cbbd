"""Ray for one run: starts or joins a cluster, creates actors, waits for calls and detects failures.

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
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do one day anyway; silences a warning
os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of rollouts that nobody waits for any more
os.environ.setdefault("RAY_worker_niceness", "0")  # actors are not behind whatever else the machine does

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from algos.common.errors import UserError, first_line
from algos.data import DataSpec
from framework.data import memory
from framework.distributed import resources
from framework.distributed.actors import EvaluatorActor, LearnerActor, ServerActor, WorkerActor
from framework.distributed.failures import CallFailed, PartLost, cause_in
from framework.distributed.pacing import BATCHES
from framework.runs.checkout import IS_CHECKOUT, ROOT
from framework.settings.schema import Config
from framework.training.environments import Environments

log = logging.getLogger("joyride")

NOT_SHIPPED = ["tasks", ".git", ".venv", "tests", "docs", "**/__pycache__", ".mypy_cache", ".ruff_cache"]
FOLDER = "joyride-ray-"  # Ray's files of a run, in the folder for temporary files; then the process id
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
        self.begun = time.monotonic()
        self.handles: dict[Handle, Ref] = {}  # and where each lives
        self.folder: str | None = None
        # what Ray tells of processes that died, in many words, stands in the run's own log and table
        ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None
        spaces = (envs.obs_space, envs.action_space)
        free = memory.free_memory()
        rollout = memory.rollout_bytes(spec, *spaces, general.n_envs, max(spec.n_steps, spec.train_freq))
        batches = BATCHES * spec.batch_size * spec.row_steps * memory.transition_bytes(*spaces)
        needed = 3 * general.n_workers * rollout + batches
        try:
            if general.ray_address is None:
                # refused before Ray is started, which takes seconds
                resources.learner_gpus(general.device, general.n_learners, torch.cuda.device_count())
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
            raise UserError(f"Ray failed to start on this machine: {first_line(error)[:200]}") from error

    def _join(self, address: str) -> None:
        """Join a running cluster; Joyride's own code goes along."""
        if address.startswith("ray://"):
            raise UserError(
                f"general_cfg.ray_address={address} is for Ray Client; run main.py on a machine of the cluster, with"
                " ray_address=auto or <head>:6379"
            )
        check_answers(running_cluster() if address == "auto" else address)
        shipped: dict[str, Any] = {"working_dir": str(ROOT), "excludes": NOT_SHIPPED}
        if not IS_CHECKOUT:  # ROOT is the folder of all installed packages
            shipped = {"py_modules": [str(ROOT / name) for name in ("algos", "envs", "framework")]}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=shipped)
        except (ConnectionError, RuntimeError, ValueError) as error:
            token = (
                "" if "RAY_AUTH_MODE" in os.environ else " (a cluster with a token needs RAY_AUTH_MODE=token here too)"
            )
            reason = f"{first_line(error)[:200]}{token}"
            raise UserError(
                f"general_cfg.ray_address={address}: cannot join that cluster: {reason}; start one"
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

    def drop_cpu_reservations(self) -> None:
        """From now on processes take any place: a machine may be lost, and Ray would wait forever for a free one."""
        self.share = 0.0

    def spawn(self, kind: type, *args: Any, gpus: int = 0) -> Handle:
        """An actor; its process may not be up yet. Workers are spread over the nodes, the evaluator stays here."""
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
        if kind in (WorkerActor, ServerActor):
            handle.lower_priority.remote()
        return handle

    @property
    def head(self) -> str:
        """The address of the cluster's first machine."""
        address: str = ray.get_runtime_context().gcs_address
        return address.rpartition(":")[0]

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


def remove_leftovers(place: Path) -> None:
    """Delete the folders of runs that were killed before they could do so."""
    for path in place.glob(f"{FOLDER}*"):
        owner = path.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc").exists():
            shutil.rmtree(path, ignore_errors=True)


def running_cluster() -> str:
    """What `auto` stands for: RAY_ADDRESS, or the cluster that was started last on this machine; "" where none was."""
    place = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    return os.environ.get("RAY_ADDRESS") or (place.read_text(encoding="utf-8").strip() if place.exists() else "")


def check_answers(address: str) -> None:
    """Raise UserError if nothing listens at <host>:<port>: Ray itself would try for minutes."""
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

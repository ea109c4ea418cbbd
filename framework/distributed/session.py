"""Ray itself for one run: started on this machine or joined, watched, and ended."""

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from algos.common.errors import UserError, first_line
from framework.distributed import ray_files
from framework.distributed.failures import RayLost
from framework.runs.checkout import IS_CHECKOUT, ROOT

log = logging.getLogger("joyride")

RAY_CODE = Path(ray.__file__).parent
NOT_SHIPPED = ["tasks", ".git", ".venv", "tests", "docs", "**/__pycache__", ".mypy_cache", ".ruff_cache"]
ESSENTIAL = {"gcs_server": "its server (gcs_server)", "raylet": "its manager of this machine (raylet)"}
LOOK_AT_CLUSTER = 5.0  # seconds between two looks at a cluster that the run has joined: they are calls
WATCH = 5.0  # seconds between two questions of the watch
PATIENCE = 30.0  # seconds that Ray's server has for each of two answers in turn, before it counts as hung
NOTICE = 10.0  # seconds in one call to a Ray that hangs, after which the driver counts as stuck in it
LAST_ANSWER = 10.0  # that Ray's server has to answer once the run is done, before it is killed
ANSWER_SECONDS = 20.0  # that Ray's server has to answer whether this machine is still part of the cluster


class Session:
    """Ray for one run; `own`: it was started for it, and ends with it."""

    def __init__(self, address: str | None, object_store: int | None):
        self.own = address is None
        self.folder: str | None = None  # of its files, for this user alone; None of a cluster's
        self.undo = ExitStack()
        self.looked = time.monotonic()
        self.hung: str | None = None  # what of a Ray of its own no longer answered, and was killed
        self.last_words: Callable[[RayLost], None] | None = None  # for a driver that is stuck in a call
        self.driver = threading.get_ident()
        self.noticed, self.turn = threading.Event(), threading.Lock()  # the driver ends the run; one of the two does
        self.agents: list[int] = []  # of a Ray that has lost a part: they are ended apart
        self.ended = threading.Event()
        self.watch = threading.Thread(target=self._watch, name="ray-watch", daemon=True)
        # what Ray tells of processes that died, in many words, stands in the run's own log and table
        ray._private.worker.print_to_stdstream = lambda *args, **kwargs: None
        ray_files.set_environment()
        ray_files.close_token_file()
        try:
            if address is None:
                self._start(object_store)
                self.watch.start()
            else:
                _join(address)
        except BaseException:
            self.end()
            raise

    def _start(self, object_store: int | None) -> None:
        self.folder = ray_files.make_folder()
        self.undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.undo.callback(_read_token_again)
        self.undo.enter_context(ray_files.own_token())
        _read_token_again()
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

    def check(self, ask: bool = False) -> None:
        """Raise RayLost if Ray itself is gone, without which nothing can be replaced.

        `ask`: whether its server answers, and still counts this machine in; else only whether its processes are there.
        """
        if self.own:
            if self.hung is not None:
                with self.turn:
                    self.noticed.set()
                self._kill(self.hung)
            lost = self.hung or _dead_process()
        elif ask or time.monotonic() > self.looked + LOOK_AT_CLUSTER:
            self.looked = time.monotonic()
            lost = _closed_door()
        else:
            lost = None
        if lost is None and ask:
            lost = _no_answer(ANSWER_SECONDS)
            if lost is not None and self.own:
                self._kill(lost)
        if lost is not None:
            raise RayLost(lost, joined=not self.own)

    def _watch(self) -> None:
        """See to it that the run ends if a Ray of its own hangs."""
        while not self.ended.wait(WATCH):
            try:
                lost = _no_answer(PATIENCE)
                if lost is not None:  # ask again: all of it, the driver too, may have been stopped and continued
                    lost = _no_answer(PATIENCE)
            except Exception:
                if self.ended.is_set():  # Ray was ended meanwhile
                    return
                raise
            if lost is not None and not self.ended.is_set():
                return self._give_up(lost)

    def _give_up(self, cause: str) -> None:
        """Have the driver end the run; if it is stuck in a call to Ray, end both from here.

        A call to Ray's server returns when that is killed. One to the raylet ends the process without a word when the
        raylet is killed, so this comes last.
        """
        self._kill(cause, ["gcs_server"])
        since = time.monotonic()
        while time.monotonic() < since + NOTICE:
            if self.noticed.wait(0.5) or self.ended.is_set():
                return
            if not self._calling():
                since = time.monotonic()
        with self.turn:
            if self.noticed.is_set():
                return
            if self.last_words is not None:
                self.last_words(RayLost(cause))
            self._end_agents()
            self.undo.close()
            self._kill(cause)  # Ray ends this process, with a code of its own, soon after it misses the raylet
            os._exit(2)

    def _calling(self) -> bool:
        """Whether the driver is in a call to Ray."""
        frame = sys._current_frames().get(self.driver)
        return frame is not None and Path(frame.f_code.co_filename).is_relative_to(RAY_CODE)

    def _kill(self, cause: str, kinds: Iterable[str] = ESSENTIAL) -> None:
        """End a Ray of its own that hangs: to shut it down would hang, too."""
        self.agents, self.hung = self.agents or _agents(), cause
        for kind in kinds:
            for info in _node().all_processes.get(kind, []):
                info.process.kill()

    def _end_agents(self) -> None:
        for pid in self.agents:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def before_end(self) -> None:
        """Kill a server of its own that hangs: the calls that end actors would, too."""
        self.ended.set()
        if self.own and self.hung is None and _dead_process() is None and _no_answer(LAST_ANSWER) is not None:
            self._kill("its server hangs", ["gcs_server"])

    def end(self) -> None:
        """End Ray if it was started here, else leave the cluster."""
        self.ended.set()
        if self.watch.is_alive():
            self.watch.join(1.0)
        if ray.is_initialized():
            if self.own and _dead_process():
                self.agents += _agents()
            ray.shutdown()
        self._end_agents()
        self.undo.close()


def _read_token_again() -> None:
    """Ray keeps in mind which token the environment had when it first looked."""
    raylet: Any = ray._raylet
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    raylet.Config.initialize("")


def _node() -> Any:
    return ray._private.worker._global_node


def _dead_process() -> str | None:
    """Which of Ray's processes that it needs has ended."""
    for kind, process in _node().dead_processes():
        if kind in ESSENTIAL:
            killed = "was killed, or ran out of memory" if process.returncode < 0 else "ended"
            return f"{ESSENTIAL[kind]} {killed}"
    return None


def _agents() -> list[int]:
    """Processes that the manager of this machine has started: without Ray's server they outlive it by a minute."""
    raylets = {str(info.process.pid) for info in _node().all_processes.get("raylet", [])}
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1] in raylets:
                found.append(int(stat.parent.name))
    return found


def _closed_door() -> str | None:
    """Which of them listens no more; of a cluster only the addresses are known."""
    host, _, port = _node().gcs_address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        return f"the head of the cluster at {host}:{port} does not answer ({error.strerror or error})"
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as door:
            try:
                door.connect(_node().raylet_socket_name)
            except OSError:
                return f"{ESSENTIAL['raylet']} has ended"
    return None


def _no_answer(seconds: float) -> str | None:
    """What its server says of this machine within some seconds, if it is nothing good."""
    worker: Any = ray._private.worker.global_worker
    try:
        (alive,) = worker.gcs_client.check_alive([worker.current_node_id], seconds)
    except RayError:
        return f"its server gave no answer for {seconds:g} s"
    return None if alive else "its server has given this machine up for lost"


def _join(address: str) -> None:
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
        token = "" if "RAY_AUTH_MODE" in os.environ else " (a cluster with a token needs RAY_AUTH_MODE=token here too)"
        reason = f"{first_line(error)[:200]}{token}"
        raise UserError(
            f"general_cfg.ray_address={address}: cannot join that cluster: {reason}; start one"
            " with `ray start --head`, or leave ray_address out"
        ) from None


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

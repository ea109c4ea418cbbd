"""The folder of one run: its name, its places, the lock, and writing that never tears a file."""

import itertools
import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from algos.common.errors import UserError
from framework.runs import latest
from framework.runs.files import atomic_write, read_plain, writing

try:
    import fcntl
except ImportError:  # Windows has no flock: a run folder is not locked there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("joyride")
_locks: set[int] = set()  # file descriptors of the locks that this process holds


def _drop_locks_in_child() -> None:
    """A forked child (an async vector env's worker) must not keep its killed parent's lock alive."""
    for descriptor in _locks:
        with suppress(OSError):
            os.close(descriptor)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_locks_in_child)


def safe_name(text: str) -> str:
    """`text` as a part of a file name: slashes and odd characters become a dash (`ALE/Pong-v5` is `ALE-Pong-v5`)."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", text).strip(".-")[:80] or "unnamed"


class RunFolder:
    """One run's folder. The sub-folders are made when first asked for, so that a run leaves no empty ones."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock: int | None = None
        self._kept: dict[str, bytes] = {}  # what `bring_back` writes again, by the names in this folder

    @classmethod
    def create(
        cls, tasks_dir: Path | str, mode: str, env_id: str, algo_name: str, path: Path | str | None = None
    ) -> "RunFolder":
        """Make `<tasks>/<Mode>_<env>_<ALGO>_<time>[-n]/`, or the given `path`, and have `<tasks>/latest` show it.

        Two runs never share a folder, also when started at the same moment. UserError if it cannot be made, or
        where `path` already holds a run.
        """
        tasks = Path(tasks_dir)
        with writing(tasks, "; choose another folder with general_cfg.tasks_dir=<folder>"):
            tasks.mkdir(parents=True, exist_ok=True)
            if path is None:
                algo = algo_name.rpartition(":")[2]  # of "package.module:Class", the class
                stem = f"{safe_name(mode.capitalize())}_{safe_name(env_id)}_{safe_name(algo)}"
                folder = cls(_make_new(tasks, f"{stem}_{time.strftime('%Y%m%d-%H%M%S')}"))
            else:
                folder = cls(path)
                if folder.config_path.exists():
                    raise UserError(f"{folder.path} already holds a run; runs are never overwritten")
                folder.path.mkdir(parents=True, exist_ok=True)
            latest.point(tasks, folder.path)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """The run folder at `path`; UserError if there is none."""
        if not Path(path).is_dir():
            raise UserError(f"there is no run folder {path}")
        return cls(path)

    @staticmethod
    def latest(tasks_dir: Path | str) -> Path | None:
        """The folder of the newest run, or None (no run yet, or that run was deleted)."""
        return latest.find(Path(tasks_dir))

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def models(self) -> Path:
        return self._place("models")

    @property
    def checkpoints(self) -> Path:
        return self._place("checkpoints")

    @property
    def results(self) -> Path:
        return self._place("results")

    @property
    def figs(self) -> Path:
        return self._place("figs")

    @property
    def videos(self) -> Path:
        return self._place("videos")

    @property
    def logs(self) -> Path:
        return self._place("logs")

    @property
    def tb_logs(self) -> Path:
        return self._place("tb_logs")

    def _place(self, name: str) -> Path:
        place = self.path / name
        if not place.is_dir():
            with writing(place):
                place.mkdir(parents=True, exist_ok=True)
            latest.show(self.path)
        return place

    def keep(self, *names: str) -> None:
        """Remember files of this folder, those that are there, for `bring_back`."""
        self._kept |= {name: read_plain(self.path / name) for name in names if (self.path / name).is_file()}

    def bring_back(self) -> None:
        """Write what `keep` remembers again where somebody has deleted it; UserError if it cannot be written."""
        missing = [name for name in self._kept if not (self.path / name).exists()]
        for name in missing:
            atomic_write(self.path / name, self._kept[name])
        if missing:
            log.warning(
                "%s was deleted in %s while the run goes on; it is written again", ", ".join(missing), self.path
            )

    def acquire_lock(self) -> None:
        """Keep other processes from training in this folder; UserError, with the holder's pid, where one does.

        The system frees the lock when this process ends, however it ends.
        """
        if fcntl is None or self._lock is not None:
            return
        with writing(self.path / ".lock"):
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise UserError(
                f"{self.path} is in use: process {holder} is training in it; wait for it or stop it"
            ) from None
        except OSError as error:  # some network file systems cannot lock: continue, as good as it gets
            log.warning("%s cannot be locked (%s); do not train in it twice at once", self.path, error.strerror)
        self._lock = descriptor
        _locks.add(descriptor)
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def release_lock(self) -> None:
        """Let others train in this folder; without effect where it is not locked by this object."""
        if self._lock in _locks:
            _locks.discard(self._lock)
            os.close(self._lock)
        self._lock = None


def _make_new(tasks: Path, stem: str) -> Path:
    """Make the first free one of `stem`, `stem-1`, `stem-2`, ...; mkdir itself decides, so there is no race."""
    for n in itertools.count():
        path = tasks / (f"{stem}-{n}" if n else stem)
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise AssertionError("unreachable")

"""Where metrics go besides the CSV files: TensorBoard, Weights & Biases."""

import errno
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import yaml

from algos.common.errors import UserError, first_line
from framework.runs.files import read_text, writing

log = logging.getLogger("joyride")
WITHOUT_WANDB = "set WANDB_MODE=offline, or leave wandb out of loggers"


class Logger(Protocol):
    """Takes scalars by name, all those of one environment step at once."""

    def scalars(self, values: Mapping[str, float], env_step: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files under `tb_logs/`; `state` cuts them back to a checkpoint."""

    def __init__(self, folder: Path, state: dict[str, Any] | None):
        self.folder = folder
        if state is not None:
            for path in folder.glob("events.*"):
                if path.name in state:
                    with writing(path), path.open("r+b") as file:
                        file.truncate(min(state[path.name], path.stat().st_size))
                else:
                    with writing(path):
                        path.unlink()

    @cached_property
    def writer(self) -> Any:
        """Made for the first scalar: the first step need not wait for the import."""
        from torch.utils.tensorboard import SummaryWriter

        _quieten_writers()
        return SummaryWriter(str(self.folder))

    def scalars(self, values: Mapping[str, float], env_step: int) -> None:
        """One event with all values: add_scalar would write, and queue, one of each."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        named = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        try:
            self._look_for_the_folder()
            self.writer.file_writer.add_summary(Summary(value=named), env_step)
        except OSError as error:  # of the thread that writes, at an event before
            self._begin_again(error)
            self.writer.file_writer.add_summary(Summary(value=named), env_step)

    def _look_for_the_folder(self) -> None:
        """FileNotFoundError if it was deleted: the thread that writes would print a traceback."""
        if "writer" in self.__dict__ and not self.folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _begin_again(self, error: OSError) -> None:
        """Begin a new file where somebody has deleted the folder; else raise WriteError: the disk is full, say."""
        with writing(self.folder):
            if self.folder.is_dir():
                raise error
            log.warning("%s was deleted while the run writes it; its curves begin again here", self.folder)
            self.folder.mkdir(parents=True)
        del self.__dict__["writer"]

    def state_dict(self) -> dict[str, Any]:
        """Size in bytes of each event file."""
        if "writer" in self.__dict__:
            try:
                self._look_for_the_folder()
                self.writer.flush()
            except OSError as error:
                self._begin_again(error)
        return {path.name: path.stat().st_size for path in self.folder.glob("events.*")}

    def close(self) -> None:
        if "writer" in self.__dict__ and self.folder.is_dir():
            with suppress(OSError):  # was told, or is curves alone
                self.writer.close()


@cache
def _quieten_writers() -> None:
    """Have no traceback printed where TensorBoard's thread cannot write: the next event raises the same error."""
    before = threading.excepthook

    def tell(args: Any) -> None:
        if not (isinstance(args.exc_value, OSError) and type(args.thread).__name__ == "_AsyncWriterThread"):
            before(args)

    threading.excepthook = tell


class WandB:
    """A Weights & Biases run (WANDB_MODE=offline keeps it on this machine); a resumed run continues its own.

    Its config is that of the run's folder, its steps are env steps. What it has of the steps after a checkpoint stays:
    a resumed run makes the same once more, which is not sent again. Raises UserError where W&B does not start.
    """

    def __init__(self, folder: Path, state: dict[str, Any] | None):
        import wandb

        config = folder / "config.yaml"
        settings = yaml.safe_load(read_text(config)) if config.exists() else None
        run_id = state["id"] if state else None
        try:
            self.run = wandb.init(
                project="joyride", name=folder.name, dir=folder, id=run_id, resume="allow", config=settings
            )
        except wandb.errors.Error as error:
            raise UserError(
                f"general_cfg.loggers: wandb does not start: {first_line(error)}; {WITHOUT_WANDB}"
            ) from error
        self.last = int(state.get("last", -1)) if state else -1  # step of the last row
        self.sent = max(self.last, int(self.run.step or 0) - 1) if state else -1  # offline, W&B counts from 0

    def scalars(self, values: Mapping[str, float], env_step: int) -> None:
        if env_step >= self.sent:
            self.run.log({**values, "env_step": env_step}, step=env_step)
        self.last = max(self.last, env_step)

    def state_dict(self) -> dict[str, Any]:
        return {"id": self.run.id, "last": self.last}

    def close(self) -> None:
        self.run.finish()


def check_loggers(names: list[str], tasks_dir: str = "") -> None:
    """Raise UserError for a logger whose package is absent, and for one that cannot write in the folder."""
    place = os.path.abspath(tasks_dir)
    if "tensorboard" in names and not place.isascii() and sys.getfilesystemencoding() != "utf-8":
        raise UserError(
            f"general_cfg.tasks_dir: file names are in {sys.getfilesystemencoding()} here, but TensorBoard writes them"
            f" in UTF-8 ({place}); set PYTHONUTF8=1, or loggers=[]"
        )
    if "wandb" in names and importlib.util.find_spec("wandb") is None:
        raise UserError('general_cfg.loggers: wandb is not installed; run: pip install -e ".[wandb]"')
    if "wandb" in names and os.environ.get("WANDB_MODE", "online") in ("online", "run") and not _has_key():
        raise UserError(f"general_cfg.loggers: wandb has no API key; run: wandb login, or {WITHOUT_WANDB}")


def _has_key() -> bool:
    """Whether W&B knows a key, from WANDB_API_KEY or `wandb login`; it tells by itself where it has another API."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    try:
        return bool(wandb.api.api_key)
    except AttributeError:
        return True


def make_logger(name: str, run: Path, tb_logs: Path, state: dict[str, Any] | None) -> Logger:
    """The logger of that name for a run folder; `state` is what it had at the checkpoint of a resumed run."""
    return TensorBoard(tb_logs, state) if name == "tensorboard" else WandB(run, state)

"""Messages of a run, to the terminal and the run's log file, next to any logging that the user has set up."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console

from framework.runs.files import writing

log = logging.getLogger("joyride")


class _Stderr:
    """stderr, whatever that is by then; where the terminal or the pipe is gone, what would be shown is lost."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: a closed file
            if (file := self._file()) is not None:
                file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if (file := self._file()) is not None:
                file.flush()

    def isatty(self) -> bool:
        file = self._file()
        return file is not None and file.isatty()

    def fileno(self) -> int:
        file = self._file()
        return -1 if file is None else file.fileno()

    @staticmethod
    def _file() -> Any:
        """The file itself where rich's bar stands in for it."""
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)


# shared by messages and the progress bar, so that neither tears the other
console = Console(file=cast(IO[str], _Stderr()))


class _Terminal(logging.Handler):
    """Shows messages on stderr, whatever stderr is by then; on a terminal above the progress bar, a line each.

    `quiet`: warnings alone. `alone`: the user's own handlers get none of them.
    """

    def __init__(self, quiet: bool, alone: bool):
        super().__init__(logging.WARNING if quiet else logging.INFO)
        self.alone = alone

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not self._is_for(record):
                return
            text = self.format(record)
            if console.is_terminal:  # neither folded nor coloured: a path or a command can be copied
                console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
            else:
                print(text, file=console.file, flush=True)
        except Exception:
            self.handleError(record)

    def _is_for(self, record: logging.LogRecord) -> bool:
        """Of this run, or of a thread that belongs to none; and not told by the user's own handlers."""
        mine = _terminal.get()
        if mine is None:
            mine = next((handler for handler in log.handlers if isinstance(handler, _Terminal)), self)
        return mine is self and (self.alone or not _told_by_users(record))


class _ToUsers(logging.Handler):
    """Hands messages on to the user's handlers, as if Joyride had changed nothing of its logger."""

    def emit(self, record: logging.LogRecord) -> None:
        mine = _terminal.get()
        users = log.parent
        if users is None or not users.hasHandlers():  # logging itself would show warnings once more
            return
        if not (mine is not None and mine.alone) and _users_want(record):
            users.callHandlers(record)


class _RunLog(WatchedFileHandler):
    """A run's log file, begun again if somebody deletes it; on a full disk messages are on the terminal alone."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the message is shown on the terminal too."""


_terminal: ContextVar[_Terminal | None] = ContextVar("terminal", default=None)  # of the run that continues here
_file: ContextVar[logging.Handler | None] = ContextVar("file", default=None)
_lock = threading.Lock()
_attached: list[logging.Handler] = []
_before = (logging.NOTSET, True)  # the logger's level and propagation, while something is attached
_to_users = _ToUsers()


@contextmanager
def to_terminal(*, quiet: bool = False, alone: bool = False) -> Iterator[None]:
    """Show messages on stderr meanwhile (`quiet`: warnings alone); inside another such block this changes nothing.

    Handlers of the user's get them too, if their levels ask for them, unless Joyride is `alone` in its process.
    """
    if _terminal.get() is not None:
        yield
        return
    handler = _Terminal(quiet, alone)
    handler.setFormatter(logging.Formatter("%(message)s"))
    token = _terminal.set(handler)
    try:
        with _attach(handler):
            yield
    finally:
        _terminal.reset(token)


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Also append messages of this run, with their time, to a file."""
    with writing(path):
        handler = _RunLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: _file.get() in (None, handler))
    token = _file.set(handler)
    try:
        with _attach(handler):
            yield
    finally:
        _file.reset(token)
        handler.close()


@contextmanager
def _attach(handler: logging.Handler) -> Iterator[None]:
    """Have a handler get all messages; the last one to go leaves the logger as the first one found it."""
    global _before
    with _lock:
        if not _attached:
            _before = (log.level, log.propagate)
            log.setLevel(min(logging.INFO, log.getEffectiveLevel()))
            log.propagate = False
            log.addHandler(_to_users)
            log.disabled = False  # as Hydra's job_logging=disabled leaves it
        _attached.append(handler)
        log.addHandler(handler)
    try:
        yield
    finally:
        with _lock:
            log.removeHandler(handler)
            _attached.remove(handler)
            if not _attached:
                log.removeHandler(_to_users)
                log.propagate = _before[1]
                log.setLevel(_before[0])


def _users_want(record: logging.LogRecord) -> bool:
    """Whether the record would have passed on from the logger as the user has it."""
    level, propagate = _before
    assert log.parent is not None
    return propagate and record.levelno >= (level or log.parent.getEffectiveLevel())


def _told_by_users(record: logging.LogRecord) -> bool:
    """Whether a handler of the user's shows the record on the terminal."""
    logger = log.parent if _users_want(record) else None
    while logger is not None:
        for handler in logger.handlers:
            place = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
            shown = place is not None and place in (sys.stderr, sys.stdout)
            if shown and record.levelno >= handler.level:
                return True
        logger = logger.parent if logger.propagate else None
    return False

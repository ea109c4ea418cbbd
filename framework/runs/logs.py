"""Messages of a run: to the terminal and to the run's log file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

log = logging.getLogger("joyride")
console = Console(stderr=True)  # shared by messages and the progress bar, so that neither tears the other


def to_terminal() -> None:
    """Show messages on stderr; on a terminal above the progress bar."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if console.is_terminal:
        handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False, highlighter=None)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Also append messages, with their time, to a file."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()

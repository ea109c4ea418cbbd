"""Ends a process when the one that started it ends, however that happens."""

import os
import signal
import threading
import time

LOOK = 0.5  # seconds between two looks
_watched: set[int] = set()  # processes that end this one with them


def end_with(parent: int) -> None:
    """End this process when `parent`, which started it, has ended; at once if it has."""
    if parent in _watched:
        return
    _watched.add(parent)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

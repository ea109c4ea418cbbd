"""The command line; see `python main.py --help`."""

import os
import signal
import sys
from typing import Any


def leave_quietly(number: int, frame: Any) -> None:
    """Ctrl-C until something is run (framework.cli then takes it over): there is nothing to keep or to tell."""
    os._exit(128 + number)


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave_quietly)  # before the imports, which take half a second

from framework.cli import leave, main  # noqa: E402

if __name__ == "__main__":
    sys.exit(leave(main(sys.argv[1:])))

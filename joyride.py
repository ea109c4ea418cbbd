"""Joyride's Python API for any folder: `from joyride import Experiment`. torch is loaded only when a name is used.

The names are those of the package `framework`, also where the working folder has a `framework`, `envs` or `algos`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any


def leave_quietly(number: int, frame: Any) -> None:
    """What main.py does, which must not wait for an import either."""
    os._exit(128 + number)


_IS_COMMAND = Path(sys.argv[0]).stem == "joyride"
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave_quietly)

_HERE = str(Path(__file__).resolve().parent)
sys.path.insert(0, _HERE)
try:
    import framework
finally:
    sys.path.remove(_HERE)
if not hasattr(framework, "import_own_packages"):
    raise ImportError(
        f"Joyride has a package named 'framework' ({_HERE}/framework), but another 'framework' is already imported:"
        f" {framework.__file__}. Rename that one, or move it into another package"
    )

if TYPE_CHECKING:
    from framework import *  # noqa: F403

__version__ = framework.__version__
__all__ = [*framework.__all__]


def __getattr__(name: str) -> Any:
    try:
        return framework.__getattr__(name)  # so PPO, PPOConfig and their like too, which no list names
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def main() -> int:
    """The command `joyride`: what main.py is in a checkout."""
    from framework.cli import leave
    from framework.cli import main as run

    return leave(run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())

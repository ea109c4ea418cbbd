"""The runner. `from framework import Experiment` is the Python API; importing the package alone loads no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.callbacks import Callback
    from framework.experiment import Experiment

__all__ = ["Callback", "Experiment"]


def __getattr__(name: str) -> Any:
    if name == "Experiment":
        from framework.experiment import Experiment

        return Experiment
    if name == "Callback":
        from framework.callbacks import Callback

        return Callback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

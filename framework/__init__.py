"""The runner. `from framework import Experiment` is the Python API; importing the package alone loads no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.experiment import Experiment
    from framework.training.callbacks import Callback

__all__ = ["Callback", "Experiment"]


def __getattr__(name: str) -> Any:
    if name == "Experiment":
        from framework.experiment import Experiment

        return Experiment
    if name == "Callback":
        from framework.training.callbacks import Callback

        return Callback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

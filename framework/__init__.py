"""The runner. `from framework import Experiment` is the Python API; importing the package alone loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from framework.runs.checkout import import_own_packages

import_own_packages("algos", "envs")

from algos.common.hidden import stand_guard  # noqa: E402  # only now are these surely Joyride's own

stand_guard()

if TYPE_CHECKING:
    from algos.common.errors import UserError
    from algos.networks.base_model import BaseModel
    from algos.networks.ready_made import CNNActor, CNNCritic, MLPActor, MLPCritic
    from framework.agents import Agent, make_agent
    from framework.experiment import Experiment
    from framework.training.callbacks import Callback

__version__ = "0.1.0"
__all__ = [
    "Agent", "BaseModel", "CNNActor", "CNNCritic", "Callback", "Experiment", "MLPActor", "MLPCritic", "UserError",
    "make_agent",
]  # fmt: skip
_PLACES = {
    "Agent": "framework.agents",
    "BaseModel": "algos.networks.base_model",
    "CNNActor": "algos.networks.ready_made",
    "CNNCritic": "algos.networks.ready_made",
    "Callback": "framework.training.callbacks",
    "Experiment": "framework.experiment",
    "MLPActor": "algos.networks.ready_made",
    "MLPCritic": "algos.networks.ready_made",
    "UserError": "algos.common.errors",
    "make_agent": "framework.agents",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

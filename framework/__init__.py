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
    from framework.hybrid_agent import SACHybridAgent
    from framework.runners.runner import OffPolicyRunner, OnPolicyRunner
    from framework.tinyrl.agents import DQNAgent, PPOAgent, SACAgent
    from framework.tinyrl.base import BaseAgent
    from framework.tinyrl.environment import create_env_config
    from framework.tinyrl.logger import Logger
    from framework.training.callbacks import Callback

__version__ = "0.1.0"
__all__ = [
    "Agent", "BaseAgent", "BaseModel", "CNNActor", "CNNCritic", "Callback", "DQNAgent", "Experiment", "Logger",
    "MLPActor", "MLPCritic", "OffPolicyRunner", "OnPolicyRunner", "PPOAgent", "SACAgent", "SACHybridAgent", "UserError",
    "create_env_config", "make_agent",
]  # fmt: skip
_PLACES = {
    "Agent": "framework.agents",
    "BaseAgent": "framework.tinyrl.base",
    "BaseModel": "algos.networks.base_model",
    "CNNActor": "algos.networks.ready_made",
    "CNNCritic": "algos.networks.ready_made",
    "Callback": "framework.training.callbacks",
    "DQNAgent": "framework.tinyrl.agents",
    "Experiment": "framework.experiment",
    "Logger": "framework.tinyrl.logger",
    "MLPActor": "algos.networks.ready_made",
    "MLPCritic": "algos.networks.ready_made",
    "OffPolicyRunner": "framework.runners.runner",
    "OnPolicyRunner": "framework.runners.runner",
    "PPOAgent": "framework.tinyrl.agents",
    "SACAgent": "framework.tinyrl.agents",
    "SACHybridAgent": "framework.hybrid_agent",
    "UserError": "algos.common.errors",
    "create_env_config": "framework.tinyrl.environment",
    "make_agent": "framework.agents",
}


def __getattr__(name: str) -> Any:
    try:
        found = _find(name)
    except AttributeError as error:  # in a package that is imported; Python would say that we lack the name
        raise ImportError(f"framework.{name} cannot be imported: {error}") from error
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def _find(name: str) -> Any:
    """What a name stands for; None for an unknown one."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    # PPO, PPOConfig and so on, of every algorithm; what Python itself asks for is none of them
    return None if name.startswith("_") else import_module("framework.ready_made").ready_made(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

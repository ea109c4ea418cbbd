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
    from framework.runners.runner import OffPolicyRunner, OnPolicyRunner
    from framework.tinyrl.agents import DQNAgent, PPOAgent, SACAgent
    from framework.tinyrl.base import BaseAgent
    from framework.tinyrl.environment import create_env_config
    from framework.tinyrl.logger import Logger
    from framework.training.callbacks import Callback

__version__ = "0.1.0"
__all__ = [
    "Agent", "BaseAgent", "BaseModel", "CNNActor", "CNNCritic", "Callback", "DQNAgent", "Experiment", "Logger",
    "MLPActor", "MLPCritic", "OffPolicyRunner", "OnPolicyRunner", "PPOAgent", "SACAgent", "UserError",
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
    "UserError": "algos.common.errors",
    "create_env_config": "framework.tinyrl.environment",
    "make_agent": "framework.agents",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        try:
            module = import_module(_PLACES[name])
        except AttributeError as error:  # of a broken package; Python would take it for our lack of the name
            raise ImportError(f"{_PLACES[name]} cannot be imported: {error}") from error
        return getattr(module, name)
    # PPO, PPOConfig and so on, of every algorithm; what Python itself asks for is none of them
    found = None if name.startswith("_") else import_module("framework.ready_made").ready_made(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

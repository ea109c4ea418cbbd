"""A base for agents of one's own, in the way of TinyRL: a dictionary in, four methods to write."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework.training.build import resolve_device


class BaseAgent(ABC):
    """A subclass acts, learns, saves and loads; its own loop drives it, as it would the agents of this package.

    `config` is the dictionary; of its keys the base reads `state_dim`, `action_dim`, `continuous_actions` (None where
    they are not given) and `device` (auto: cuda if there is one). Raises UserError for a device that is absent.
    """

    def __init__(self, config: Mapping[str, Any]):
        if not isinstance(config, Mapping):
            raise UserError(f"{type(self).__name__} takes a dictionary of settings, not a {type(config).__name__}")
        self.config = dict(config)
        self.state_dim, self.action_dim = self.config.get("state_dim"), self.config.get("action_dim")
        self.continuous_actions = self.config.get("continuous_actions")
        self.device = resolve_device(str(self.config.get("device", "auto")))
        self.training = True

    @abstractmethod
    def select_action(self, state: Any, training: bool = True) -> Any:
        """The action for one observation; while training it may explore."""

    @abstractmethod
    def update(self, batch: Any = None) -> dict[str, float] | None:
        """Learn; metrics by name, or None if nothing was learned."""

    @abstractmethod
    def save(self, path: str | Path) -> Any:
        """Write the agent to a file."""

    @abstractmethod
    def load(self, path: str | Path) -> Any:
        """Take over a saved agent."""

    def set_training_mode(self, training: bool = True) -> None:
        """Whether the agent is to learn; `training` tells it to the subclass."""
        self.training = training

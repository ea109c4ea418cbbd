"""Agents that TinyRL's dictionary makes: `PPOAgent(config)`, `SACAgent(config)`, `DQNAgent(config)`."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from framework.agents import Agent, composed
from framework.tinyrl.dictionary import translate
from framework.tinyrl.environment import NAMELESS, environment_of

log = logging.getLogger("joyride")


class DictionaryAgent(Agent):
    """An agent of a dictionary with TinyRL's keys, Joyride's own, or both; docs/from_tinyrl.md has them in a table."""

    kind: ClassVar[str]
    forgetful = True

    def __init__(self, config: Mapping[str, Any]):
        """Raises UserError for an unknown key, and for settings that cannot work."""
        who = type(self).__name__
        translation = translate(self.kind, config, who)
        env_id = str(translation.spaces.get("env_name", NAMELESS))
        cfg = composed(translation.algo, env_id, translation.settings)
        announce(who, tuple(translation.notes))
        super().__init__(cfg, environment_of(cfg, translation.spaces, who))


class PPOAgent(DictionaryAgent):
    """PPO, stepped by hand."""

    kind = "PPO"


class SACAgent(DictionaryAgent):
    """SAC, stepped by hand."""

    kind = "SAC"


class DQNAgent(DictionaryAgent):
    """DQN, stepped by hand; with attention DRQN, which learns from sequences."""

    kind = "DQN"


@cache
def announce(who: str, notes: tuple[str, ...]) -> None:
    """Tell once what a dictionary's keys have become."""
    for note in notes:
        log.info("%s: %s", who, note)

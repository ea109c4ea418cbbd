"""Algorithms as Python classes: `PPO(env=env, cfg=PPOConfig(lr=1e-3))` says what to train; a runner trains it.

Both classes are created on demand for every algorithm of the registry: `from framework import SAC`.
"""

import dataclasses
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from algos.common.errors import UserError, did_you_mean
from algos.registry import ALGORITHMS, ALIASES, canonical_name, get_config_class
from framework.settings.foreign_words import meanings, translation

log = logging.getLogger("joyride")
NETWORKS = ("actor_class", "critic_class", "actor_cfg", "critic_cfg")


class ReadyMade:
    """An algorithm with an environment, settings and network classes; a runner's `agent`.

    `cfg` and `settings` are as a runner's. Nothing is built before a runner does.
    """

    algo_name: ClassVar[str]

    def __init__(
        self,
        env: Any = None,
        cfg: Any = None,
        actor_class: Any = None,
        critic_class: Any = None,
        actor_cfg: Mapping[str, Any] | None = None,
        critic_cfg: Mapping[str, Any] | None = None,
        **settings: Any,
    ):
        self.env, self.cfg, self.settings = env, cfg, settings
        self.actor_class, self.critic_class = actor_class, critic_class
        self.actor_cfg, self.critic_cfg = actor_cfg, critic_cfg
        settings_of(cfg, self.algo_name)  # what is wrong with them is told where they were written

    def __repr__(self) -> str:
        return f"<{self.algo_name}, to be trained by a runner>"


@cache
def ready_made(name: str) -> type[Any] | None:
    """The class that `name` means: an algorithm's, or with Config behind it that of its settings; None for others."""
    algo = name.removesuffix("Config")
    if algo not in ALGORITHMS:
        return None
    if name == algo:
        return type(name, (ReadyMade,), {"algo_name": algo, "__module__": "framework"})
    config = get_config_class(algo)

    def init(self: Any, **settings: Any) -> None:
        config.__init__(self, **{renamed(key, algo): value for key, value in settings.items()})

    doc = f"Settings of {algo}; the names used by other tools work too."
    return type(name, (config,), {"__init__": init, "__module__": "framework", "__doc__": doc})


@cache
def renamed(key: str, algo: str) -> str:
    """What a setting of `algo` is called here, where another tool's name means just that; told once.

    Raises UserError for a name of no setting.
    """
    config = get_config_class(algo)
    fields = [field.name for field in dataclasses.fields(config)]
    if key in fields:
        return key
    fitting = next((meaning for meaning in meanings(key) if meaning.fits(config)), None)
    own = fitting.keys[0].removeprefix("algo_cfg.") if fitting is not None and len(fitting.keys) == 1 else ""
    if fitting is not None and own in fields and not fitting.remark:
        log.info("%s: %s is called %s here", algo, key, own)
        return own
    hint = translation(key, config, algo) or did_you_mean(key, fields)
    raise UserError(f"{algo} has no setting {key!r}; {hint}")


def settings_of(cfg: Any, algo: str) -> dict[str, Any]:
    """A runner's `cfg` by keys of the config: a dataclass of the algorithm's settings, or a mapping; {} for None."""
    if cfg is None:
        return {}
    if isinstance(cfg, Mapping):
        odd = next((key for key in cfg if not isinstance(key, str)), None)
        if odd is not None:
            raise UserError(f"cfg: the names of settings are strings, not {odd!r}")
        return {_known(key, algo).replace("__", "."): value for key, value in cfg.items()}
    if not isinstance(cfg, get_config_class(algo)):
        what = f"the class {cfg.__name__}, not made" if isinstance(cfg, type) else f"a {type(cfg).__name__}"
        raise UserError(
            f"cfg is {what}; {algo} takes a mapping of settings or a"
            f" {get_config_class(algo).__name__} (from framework import {algo}Config)"
        )
    return {f"algo_cfg.{field.name}": getattr(cfg, field.name) for field in dataclasses.fields(cfg)}


def _known(key: str, algo: str) -> str:
    """A key of a mapping, renamed where `renamed` can; any other is left for the config to judge."""
    fitting = [meaning for meaning in meanings(key) if meaning.fits(get_config_class(algo))][:1]
    own = [meaning for meaning in fitting if len(meaning.keys) == 1 and meaning.keys[0].startswith("algo_cfg.")]
    return renamed(key, algo) if own and not own[0].remark else key


def choose(
    algorithm: str | None, agent: Any, cfg: Any, networks: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The algorithm and the settings by key, of what a runner is told itself and, behind that, by its agent."""
    if agent is not None and not isinstance(agent, ReadyMade):
        what = f"the class {agent.__name__}, not made" if isinstance(agent, type) else f"a {type(agent).__name__}"
        raise UserError(f"agent is {what}; give one such as framework.PPO(env=env, cfg=cfg)")
    name = agent.algo_name if algorithm is None and agent is not None else algorithm
    if name is None:
        raise UserError('this runner needs algorithm=, such as "dqn" for discrete actions or "sac" for continuous ones')
    algo = algorithm_name(name)
    given = {name: value for name, value in networks.items() if value is not None}
    if agent is not None:
        if algo != agent.algo_name:
            raise UserError(f"algorithm={algorithm}, but agent is a {agent.algo_name}: leave one out")
        own = {name: getattr(agent, name) for name in NETWORKS if getattr(agent, name) is not None}
        cfg, given, settings = agent.cfg if cfg is None else cfg, own | given, {**agent.settings, **settings}
    classes = {f"algo_cfg.{name}": value for name, value in given.items()}
    return algo, settings_of(cfg, algo) | classes | settings_of(settings, algo)


def algorithm_name(name: str) -> str:
    """The registry's name of an algorithm in any spelling of its case; UserError for an unknown one or no name."""
    if not isinstance(name, str):
        what = f"the class {name.__name__}" if isinstance(name, type) else f"a {type(name).__name__}"
        raise UserError(f'algorithm takes a name such as "ppo", not {what}; agent takes framework.PPO(env=env)')
    known = {known.lower(): known for known in (*ALIASES, *ALGORITHMS)}
    return canonical_name(known.get(name.lower(), name))

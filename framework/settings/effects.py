"""Consequences of `affects`, the property of each key: whether a resumed run may change it, whether a run that loads
the model inherits it, and whether scores stay comparable.
"""

import dataclasses
from typing import Any

from algos.common.settings import Effect

Config = Any  # a dataclass of settings, or an instance of one

FIXED_IN_A_RUN: tuple[Effect, ...] = ("learning", "record", "purpose")  # resumed, a run continues exactly as it was
NEVER_HANDED_ON: tuple[Effect, ...] = ("start", "call")
LOADED_ANEW: tuple[Effect, ...] = ("purpose", "rendering")  # handed on where a run is resumed, not where it is loaded
NO_SCORE: tuple[Effect, ...] = ("record", "speed", "files", "rendering", "call")  # except for rounding


def effect_of(config: Config, key: str) -> Effect:
    """What a key of a section changes; KeyError if the section has no such key."""
    fields = {field.name: field for field in dataclasses.fields(config)}
    effect: Effect = fields[key].metadata.get("affects", "learning")
    return effect


def may_change(config: Config, key: str) -> bool:
    """Whether a run may be resumed with another value: it does not change what the run has done."""
    return effect_of(config, key) not in FIXED_IN_A_RUN


def changes_score(config: Config, key: str) -> bool:
    """Whether another value makes another experiment, whose score is not to be compared."""
    return effect_of(config, key) not in NO_SCORE


def not_handed_on(config: Config, *, resumed: bool, one_process: bool) -> list[str]:
    """The keys of a section that a saved run keeps to itself when it is resumed, or else its model is loaded.

    With `one_process` the run had Ray, and now a single process is asked for.
    """
    kept = {*NEVER_HANDED_ON, *(() if resumed else LOADED_ANEW), *(("ray",) if one_process else ())}
    return [field.name for field in dataclasses.fields(config) if effect_of(config, field.name) in kept]

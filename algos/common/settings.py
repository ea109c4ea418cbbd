"""Fields of configuration dataclasses with the values that they allow (torch-free)."""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from algos.common.errors import UserError, did_you_mean
from algos.common.schedule import Schedule

Effect = Literal[
    "learning",  # what is learned
    "record",  # the last digits or the rows of what is recorded, and no score
    "purpose",  # what the run is for
    "start",  # what it starts from
    "future",  # what is still to come: when the run ends, what hooks into it
    "ray",  # how the work is shared among processes
    "speed",  # where and how it is computed
    "files",  # which files are written beside the tables
    "rendering",  # what is shown of the environment
    "call",  # nothing but this one call of the program
]


LARGEST = 2**63  # of whole numbers: what an array can count
AUTO = "auto"  # a setting that is found out at the start of the run
SWITCH = (AUTO, "true", "false")
BOUNDS: dict[str, tuple[str, Callable[[Any, float], bool]]] = {
    "ge": (">=", operator.ge),
    "gt": (">", operator.gt),
    "le": ("<=", operator.le),
    "lt": ("<", operator.lt),
}


def setting(
    default: Any = dataclasses.MISSING,
    *,
    factory: Any = dataclasses.MISSING,
    choices: tuple[str, ...] | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    also: tuple[float | str, ...] = (),
    schedule: bool = False,
    affects: Effect = "learning",
) -> Any:
    """A dataclass field whose value is checked by `check_settings`.

    `ge`, `gt`, `le`, `lt` bound a number, `also` lists values allowed outside the bounds (-1 for "unlimited"),
    `choices` lists the allowed strings, `schedule` asks for a number or a schedule ("lin_1e-3"). None is always
    allowed if the field's type allows it. `affects` says what the value affects. This decides whether a resumed run may
    change it, who inherits it, and whether scores can be compared (framework/settings/effects.py).
    """
    limits = {"choices": choices, "ge": ge, "gt": gt, "le": le, "lt": lt, "also": also, "schedule": schedule}
    return dataclasses.field(default=default, default_factory=factory, metadata={**limits, "affects": affects})


def check_settings(config: Any, section: str) -> None:
    """Check every field of a config dataclass, then call its `check(section)` for values that contradict each other
    (`check_values(section)` where `check` is a setting).

    Raises UserError with the full key, the value and what is allowed.
    """
    for field in dataclasses.fields(config):
        _check_field(field, getattr(config, field.name), f"{section}.{field.name}")
    hook = getattr(config, "check_values", None) or getattr(config, "check", None)
    if hook is not None:
        hook(section)


def require(condition: bool, message: str) -> None:
    """Raise UserError with `message` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def without_effect(keys: Sequence[str]) -> str:
    """`a has no effect`, `a, b have no effect`."""
    return f"{', '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect"


def allowed_values(field: "dataclasses.Field[Any]") -> str:
    """The allowed values of a field beyond its type, in words; empty if the type says all."""
    return _in_words(field.metadata) if field.metadata else ""


def _in_words(limits: Mapping[str, Any]) -> str:
    if limits["choices"] is not None:
        return ", ".join(limits["choices"])
    bounds = " and ".join(f"{sign} {limits[name]:g}" for name, (sign, _) in BOUNDS.items() if limits[name] is not None)
    specials = [special if isinstance(special, str) else f"{special:g}" for special in limits["also"]]
    return bounds + "".join(f", or {special}" for special in specials)


class SequenceSettings(Protocol):
    """Settings of replay from sequences."""

    sequence_length: int
    burn_in: int
    batch_size: int
    buffer_size: int
    train_freq: int


class EpsilonSettings(Protocol):
    """Settings of a fraction of random actions that decays."""

    epsilon_start: float
    epsilon_end: float


def check_sequences(cfg: SequenceSettings, section: str) -> None:
    """Raise UserError for contradictory settings of sequence replay."""
    length, burn_in, batch_size = cfg.sequence_length, cfg.burn_in, cfg.batch_size
    require(
        burn_in < length,
        f"{section}.burn_in={burn_in} leaves nothing to learn from sequences of sequence_length={length}",
    )
    require(
        cfg.train_freq % length == 0,
        f"{section}.train_freq={cfg.train_freq} must be a multiple of {section}.sequence_length={length}",
    )
    require(
        batch_size * length <= cfg.buffer_size,
        f"{section}.batch_size={batch_size} sequences of sequence_length={length} are more than"
        f" {section}.buffer_size={cfg.buffer_size} steps",
    )


def _check_field(field: "dataclasses.Field[Any]", value: Any, key: str) -> None:
    limits = field.metadata
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise UserError(f"{key} is too large: it must be below 2^63")
    _check_limits(limits, field.default, value, key)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} must be a finite number")
    _check_inside(value, key)


def _check_inside(value: Any, key: str) -> None:
    """Raise UserError for nan anywhere in a list or mapping; inf may be a bound that somebody's class takes."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_inside(item, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_inside(item, f"{key}[{index}]")
    elif isinstance(value, float) and math.isnan(value):
        raise UserError(f"{key}={value} must be a number")


def _check_limits(limits: Mapping[str, Any], default: Any, value: Any, key: str) -> None:
    if limits and limits["schedule"] and not (value is None and default is None):
        Schedule(value, 1, key)  # its end is checked where the run's length is known
        return
    if value is None or not limits or value in limits["also"]:
        return
    if isinstance(value, bool) and limits["choices"] == SWITCH:
        return
    if limits["choices"] is not None and value not in limits["choices"]:
        hint = did_you_mean(str(value), limits["choices"])
        near = f" ({hint})" if hint.endswith("?") else ""
        raise UserError(f"{key}={value} is not allowed; choose from {', '.join(limits['choices'])}{near}")
    if isinstance(value, str) and any(limits[name] is not None for name in BOUNDS):
        raise UserError(f"{key}={value} is no number: it must be {_in_words(limits)}")
    if any(not test(value, limits[name]) for name, (_, test) in BOUNDS.items() if limits[name] is not None):
        raise UserError(f"{key}={value} is out of range: it must be {_in_words(limits)}")


def check_epsilon(cfg: EpsilonSettings, section: str) -> None:
    """Raise UserError for an epsilon that would rise."""
    require(
        cfg.epsilon_end <= cfg.epsilon_start,
        f"{section}.epsilon_end={cfg.epsilon_end} is above {section}.epsilon_start={cfg.epsilon_start}",
    )

"""Schedules: values that depend on the environment step (torch-free)."""

import math
from collections.abc import Mapping
from typing import Any

from algos.common.errors import UserError, did_you_mean

KINDS = ("linear", "cosine", "exp")
KEYS = ("kind", "start", "end", "steps", "fraction")


class Schedule:
    """A number, "lin_<x>" (from x to 0 at `total_steps`), or a mapping {kind, start, end, steps or fraction}.

    A mapping goes from start to end (default 0) over `steps` env steps, or over a `fraction` of the run (default 1),
    and stays there. With x = min(1, step / steps):
    linear: start + (end - start) x;  cosine: end + (start - end) (1 + cos(pi x)) / 2;
    exp: end + (start - end) e^(-step / steps); steps is the time constant and has no default.
    `key` names the setting in errors. Raises UserError for any other notation, and if the run has no known end.
    """

    def __init__(self, value: Any, total_steps: int | None, key: str):
        self.start = self.end = 0.0
        self.kind, self.steps = "", 1.0
        if isinstance(value, Mapping):
            self._read_mapping(value, total_steps, key)
        else:
            self._read_text(value, total_steps, key)

    def __call__(self, step: int) -> float:
        """Value after `step` environment steps."""
        if not self.kind:
            return self.start
        if self.kind == "cosine":
            return self.end + (self.start - self.end) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return decayed(step, self.start, self.end, self.steps, self.kind)

    def _read_text(self, value: Any, total_steps: int | None, key: str) -> None:
        text = str(value)
        try:
            self.start = float(text.removeprefix("lin_"))
        except ValueError:
            raise UserError(
                f'{key}={value} must be a number, a linear schedule such as "lin_1e-3", '
                "or a mapping such as {kind: linear, start: 1e-3, end: 1e-4}"
            ) from None
        _check_range(self.start, f"{key}={value}")
        if text.startswith("lin_"):
            self.kind, self.steps = "linear", _end_of_run(total_steps, f"{key}={value}")

    def _read_mapping(self, value: Mapping[Any, Any], total_steps: int | None, key: str) -> None:
        for name in value:
            if name not in KEYS:
                raise UserError(f"{key}.{name} is unknown in a schedule; {did_you_mean(str(name), KEYS)}")
        self.kind = value.get("kind", "linear")
        if self.kind not in KINDS:
            raise UserError(f"{key}.kind={self.kind} is not allowed; choose from {', '.join(KINDS)}")
        if "start" not in value:
            raise UserError(f"{key}: a schedule needs start")
        self.start, self.end = (_number(value.get(name, 0.0), f"{key}.{name}") for name in ("start", "end"))
        if "steps" in value and "fraction" in value:
            raise UserError(f"{key}: give steps or fraction, not both")
        if "steps" in value:
            self.steps = _number(value["steps"], f"{key}.steps", above_zero=True)
        elif "fraction" in value:
            share = _number(value["fraction"], f"{key}.fraction", above_zero=True)
            self.steps = share * _end_of_run(total_steps, f"{key}.fraction={value['fraction']}")
        elif self.kind == "exp":
            raise UserError(f"{key}: an exp schedule needs steps (or fraction), its time constant")
        else:
            self.steps = _end_of_run(total_steps, key)


def decayed(step: int, start: float, end: float, steps: float, kind: str) -> float:
    """linear: from start to end over `steps`, then end; exp: end + (start - end) e^(-step / steps)."""
    if kind == "linear":
        return start + (end - start) * min(1.0, step / steps)
    return end + (start - end) * math.exp(-step / steps)


epsilon_at = decayed  # the fraction of random actions in value-based methods


def _number(value: Any, key: str, above_zero: bool = False) -> float:
    try:
        number = float(str(value))
    except ValueError:
        raise UserError(f"{key}={value} is not a number") from None
    _check_range(number, f"{key}={value}", above_zero)
    return number


def _check_range(number: float, what: str, above_zero: bool = False) -> None:
    if math.isnan(number) or math.isinf(number) or number < 0 or (above_zero and number == 0):
        raise UserError(f"{what} is out of range: it must be {'> 0' if above_zero else '>= 0'}")


def _end_of_run(total_steps: int | None, what: str) -> float:
    if total_steps is None:
        raise UserError(f"{what} decays until general_cfg.max_env_step, which is not set")
    return float(total_steps or 1)

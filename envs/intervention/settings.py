"""Checks of a device's settings, which YAML may write in any type."""

import math
from typing import Any

from algos.common.settings import require


def check_flag(device: str, name: str, value: Any) -> None:
    """Raise UserError unless the value is true or false; the text "no" is neither."""
    require(isinstance(value, bool), f"device={device}: {name}={value} must be true or false")


def is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_least(device: str, name: str, value: Any, whole: bool = True) -> None:
    """Raise UserError unless the value is a number of at least 0."""
    fits = is_number(value) and value >= 0 and (not whole or isinstance(value, int))
    kind = "whole number" if whole else "number"
    require(fits, f"device={device}: {name}={value} must be a {kind} of at least 0")

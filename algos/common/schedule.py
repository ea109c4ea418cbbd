"""Values that follow the global environment step."""

import math
from typing import Any

from algos.common.errors import UserError


class Schedule:
    """A constant, or "lin_<x>": from x at step 0 to 0 at `total_steps`.

    `key` names the setting in errors. Raises UserError for another notation, or a linear one without an end.
    """

    def __init__(self, value: Any, total_steps: int | None, key: str):
        text = str(value)
        self.linear = text.startswith("lin_")
        try:
            self.start = float(text.removeprefix("lin_"))
        except ValueError:
            raise UserError(f'{key}={value} is not a number nor a linear schedule such as "lin_1e-3"') from None
        if not self.start >= 0 or math.isinf(self.start):
            raise UserError(f"{key}={value} is out of range: it must be >= 0")
        if self.linear and total_steps is None:
            raise UserError(f"{key}={value} decays until general_cfg.max_env_step, which is not set")
        self.total_steps = total_steps or 1

    def __call__(self, step: int) -> float:
        """Value after `step` environment steps."""
        return self.start * max(0.0, 1.0 - step / self.total_steps) if self.linear else self.start


def epsilon_at(step: int, start: float, end: float, decay: int, kind: str) -> float:
    """Share of random actions after `step` environment steps.

    exp: end + (start - end) exp(-step / decay); linear: from start to end over `decay` steps.
    """
    if kind == "linear":
        return start + (end - start) * min(1.0, step / decay)
    return end + (start - end) * math.exp(-step / decay)

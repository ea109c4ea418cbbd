"""Whether what somebody else than the policy did is an action of a space."""

from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError

ROUNDING = 1e-5  # of a space's range: what float32 may add to a bound
PLAIN = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary


def as_action(value: Any, space: Any, where: str) -> np.ndarray:
    """An action in the type of a space that is PLAIN, `where` begins messages; what rounding added to a bound is cut.

    Raises UserError for what the space does not have.
    """
    try:
        given = np.asarray(value)
    except ValueError:  # lists of several lengths
        given = np.empty((), object)
    if given.dtype.kind not in "biuf":
        raise UserError(f"{where}: expected an action of {space}, got {value!r:.80}")
    if given.shape != space.shape:
        raise UserError(f"{where}: expected an action of shape {list(space.shape)}, got {list(given.shape)}")
    if not np.isfinite(given).all():
        raise UserError(f"{where}: the action {_short(given)} is not finite")
    if space.dtype.kind == "f":
        within = np.clip(given, space.low, space.high)
        action, inside = within.astype(space.dtype), bool((np.abs(given - within) <= slack(space)).all())
    else:
        action = given.astype(space.dtype)
        known = space.contains(action[()] if isinstance(space, spaces.Discrete) else action)
        inside = known and np.array_equal(action, given)
    if not inside:
        raise UserError(f"{where}: the action {_short(given)} is outside {space}, so it cannot be what is executed")
    return action


def slack(space: spaces.Box) -> Any:
    """How far beyond its bounds a number still counts as rounded."""
    size = space.high.astype(np.float64) - space.low.astype(np.float64)
    return ROUNDING * np.where(np.isfinite(size), size, 0.0)


def _short(values: np.ndarray) -> str:
    return " ".join(np.array2string(values, precision=4, threshold=8).split())

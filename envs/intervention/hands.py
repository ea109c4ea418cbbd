"""Which numbers of an action move which hand, for devices with keys and sticks."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError

WITH_GRIPPER = (4, 7)  # numbers of a hand whose last is the command of a gripper


def stated(env: Any) -> tuple[int, bool] | None:
    """Hands, and whether each has a gripper's command, where the environment's `hands` and `motion_entries` say so."""
    base = env.unwrapped
    hands, entries = getattr(base, "hands", None), getattr(base, "motion_entries", None)
    if not isinstance(hands, int) or entries is None or np.shape(entries) != base.action_space.shape:
        return None
    return hands, not np.asarray(entries)[-1]


class Hands:
    """An action put together hand by hand: `motion` numbers each, and a gripper's command if `has_gripper`.

    As the environment's `hands` and `motion_entries` say; else `hands` of the device's settings, with a gripper where a
    hand has 4 or 7 numbers. Raises UserError for actions that cannot be divided so.
    """

    def __init__(self, env: gym.Env, hands: int | None) -> None:
        space, base = env.action_space, env.unwrapped
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise UserError(f"a person's device needs Box actions of one dimension, not {space}")
        count = hands if hands is not None else getattr(base, "hands", 1)
        size = space.shape[0]
        whole = hands is None or type(hands) is int
        if not whole or count not in (1, 2) or size % count or not np.isfinite([space.low, space.high]).all():
            raise UserError(f"hands={count} does not fit the actions {space}: hands must be 1 or 2, with bounds")
        each = size // count
        entries = getattr(base, "motion_entries", None)
        self.has_gripper = each in WITH_GRIPPER if entries is None else not np.asarray(entries)[each - 1]
        self.motion = each - int(self.has_gripper)
        self.count, self._space = count, space

    def action(self, hand: int, motion: Any, command: float) -> np.ndarray:
        """The action [A] in which one hand moves, by numbers in [-1, 1], and the other one holds still.

        -1 and 1 are the bounds of the space, 0 their middle. Numbers that the hand lacks are left out.
        """
        parts = np.zeros((self.count, self.motion + int(self.has_gripper)))
        known = np.asarray(motion, np.float64)[: self.motion]
        parts[hand, : len(known)] = np.clip(known, -1, 1)
        if self.has_gripper:
            parts[hand, -1] = command
        low, high = self._space.low, self._space.high
        return ((low + high) / 2 + parts.ravel() * (high - low) / 2).astype(self._space.dtype)

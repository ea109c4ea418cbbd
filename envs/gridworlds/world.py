"""A world of numbered states that knows its own probabilities: what all small worlds share."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError

Outcomes = list[tuple[float, int, float, bool]]  # probability, next state, reward, terminated: as in Gymnasium's `P`
CELL = 32  # pixels
COLOURS = {
    ".": (245, 245, 245), "#": (90, 90, 90), "S": (207, 226, 243), "G": (120, 190, 120), "H": (214, 120, 110),
}  # fmt: skip
AGENT = (45, 85, 150)


class World(gym.Env):
    """States 0 to `n_states` - 1. A subclass says what a pair (state, action) leads to, and where episodes start.

    `step` draws from the very outcomes that `P` lists, so that planning on `P` is planning on this world.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}
    n_states: int
    action_space: spaces.Discrete

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.state = 0
        self._known: dict[tuple[int, int], Outcomes] = {}

    def outcomes(self, state: int, action: int) -> Outcomes:
        """What may follow: the probabilities add up to 1."""
        raise NotImplementedError

    def starts(self) -> list[int]:
        """States in which episodes start, all equally likely."""
        raise NotImplementedError

    def observe(self, state: int) -> Any:
        """The observation of a state: its number, unless said otherwise."""
        return state

    def place(self, state: int) -> tuple[int, int]:
        """Row and column of a state on the map."""
        raise NotImplementedError

    def text_map(self) -> Sequence[str]:
        """The map: `.` floor, `#` wall, `S` start, `G` goal, `H` pit."""
        raise NotImplementedError

    @property
    def P(self) -> dict[int, dict[int, Outcomes]]:
        """All outcomes, by state and action."""
        actions = range(int(self.action_space.n))
        return {state: {action: self._outcomes(state, action) for action in actions} for state in range(self.n_states)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        starts = self.starts()
        self.state = starts[int(self.np_random.integers(len(starts)))] if len(starts) > 1 else starts[0]
        return self.observe(self.state), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Draw one of the outcomes."""
        outcomes = self._outcomes(self.state, int(action))
        chosen = outcomes[0]
        if len(outcomes) > 1:
            dice = self.np_random.random()
            for chosen in outcomes:
                dice -= chosen[0]
                if dice < 0:
                    break
        _, self.state, reward, terminated = chosen
        return self.observe(self.state), reward, terminated, False, {}

    def _outcomes(self, state: int, action: int) -> Outcomes:
        """`outcomes`, worked out once, those that come to the same put together."""
        key = state, action
        if key not in self._known:
            merged: dict[tuple[int, float, bool], float] = {}
            for probability, *rest in self.outcomes(state, action):
                if probability > 0:
                    merged[tuple(rest)] = merged.get(tuple(rest), 0.0) + probability  # type: ignore[index,arg-type]
            self._known[key] = [(probability, *rest) for rest, probability in merged.items()]
        return self._known[key]

    def render(self) -> Any:
        """The map with the agent: a frame [H, W, 3], or text in which it is `@`."""
        if self.render_mode is None:
            return None
        row, column = self.place(self.state)
        lines = self.text_map()
        if self.render_mode == "ansi":
            shown = [list(line) for line in lines]
            shown[row][column] = "@"
            return "\n".join("".join(line) for line in shown) + "\n"
        cells = np.array([[COLOURS[sign] for sign in line] for line in lines], dtype=np.uint8)
        frame = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)
        frame[::CELL] = frame[:, ::CELL] = 210  # the lines between cells
        across = np.arange(CELL) - (CELL - 1) / 2
        disc = across[:, None] ** 2 + across**2 < (0.32 * CELL) ** 2
        frame[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL][disc] = AGENT
        return frame


def check_map(lines: Sequence[str], signs: str) -> list[str]:
    """The lines of a map given by a user; UserError unless they are of one length and of the known signs."""
    rows = [str(line) for line in lines]
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
        raise UserError("env_cfg.kwargs.map: all lines must have the same length, and there must be at least one")
    unknown = sorted(set("".join(rows)) - set(signs))
    if unknown:
        raise UserError(f"env_cfg.kwargs.map: {unknown[0]!r} is not allowed; choose from {' '.join(signs)}")
    for sign in "SG":
        if sign not in "".join(rows):
            raise UserError(f"env_cfg.kwargs.map: it has no {sign} (S: start, G: goal)")
    return rows


def check_share(value: float, key: str) -> float:
    """A probability given by a user; UserError outside [0, 1]."""
    if not 0 <= value <= 1:
        raise UserError(f"env_cfg.kwargs.{key}={value} is out of range: it must be >= 0 and <= 1")
    return float(value)

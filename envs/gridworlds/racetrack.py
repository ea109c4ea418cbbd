"""The racetrack (Sutton and Barto, "Reinforcement Learning: An Introduction", 2018, exercise 5.12 and figure 5.5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from envs.gridworlds.world import Outcomes, World, check_map, check_share

SPEEDS = 5  # 0 to 4 cells a step, upwards and to the right


# the left track of figure 5.5: up, then to the right
BOOK = (
    "###.............G",
    "##..............G",
    "##..............G",
    "#...............G",
    "................G",
    "................G",
    "..........#######",
    ".........########",
    ".........########",
    ".........########",
    ".........########",
    ".........########",
    ".........########",
    ".........########",
    "#........########",
    "#........########",
    "#........########",
    "#........########",
    "#........########",
    "#........########",
    "#........########",
    "#........########",
    "##.......########",
    "##.......########",
    "##.......########",
    "##.......########",
    "##.......########",
    "##.......########",
    "##.......########",
    "###......########",
    "###......########",
    "###SSSSSS########",
)
SMALL = (
    "###....G",
    "##.....G",
    "#......G",
    "#...####",
    "#...####",
    "#...####",
    "#SSS####",
)
TRACKS = {"book": BOOK, "small": SMALL}


class Racetrack(World):
    """A car with a velocity, upwards and to the right, 0 to 4 each: an action changes both by -1, 0 or 1.

    Action 3 (up + 1) + (right + 1), with up and right the two changes. With probability `noise` a change has no effect,
    and a car cannot come to a stop off the starting line: a change that would make it stop has none. Every step costs 1
    until the finish (G) is crossed. After leaving the track, the car restarts at rest on a random cell of the start
    (S). `track` is book, small, or a map of lines. The observation is [row, column, upward speed, speed to the right].
    """

    def __init__(
        self,
        track: str | Sequence[str] = "book",
        noise: float = 0.1,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if isinstance(track, str) and track not in TRACKS:
            raise UserError(f"env_cfg.kwargs.track={track} is not allowed; choose {' or '.join(TRACKS)}, or give lines")
        self.desc = check_map(TRACKS[track] if isinstance(track, str) else track, ".#SG")
        self.noise = check_share(noise, "noise")
        self.grid_shape = (len(self.desc), len(self.desc[0]))
        self.sizes = (*self.grid_shape, SPEEDS, SPEEDS)
        self.n_states = int(np.prod(self.sizes))
        self.observation_space, self.action_space = spaces.MultiDiscrete(list(self.sizes)), spaces.Discrete(9)
        cells = [(r, c) for r, line in enumerate(self.desc) for c, sign in enumerate(line) if sign == "S"]
        self._starts = [self.number(row, column, 0, 0) for row, column in cells]

    def number(self, row: int, column: int, up: int, right: int) -> int:
        """The number of a state."""
        return ((row * self.sizes[1] + column) * SPEEDS + up) * SPEEDS + right

    def parts(self, state: int) -> tuple[int, int, int, int]:
        """Row, column, upward speed and speed to the right of a state."""
        state, right = divmod(state, SPEEDS)
        state, up = divmod(state, SPEEDS)
        return (*divmod(state, self.sizes[1]), up, right)

    def text_map(self) -> Sequence[str]:
        return self.desc

    def place(self, state: int) -> tuple[int, int]:
        return self.parts(state)[:2]

    def starts(self) -> list[int]:
        return self._starts

    def observe(self, state: int) -> Any:
        return np.array(self.parts(state))

    def outcomes(self, state: int, action: int) -> Outcomes:
        row, column, up, right = self.parts(state)
        if self.desc[row][column] in "#G":
            return [(1.0, state, 0.0, True)]
        up_change, right_change = action // 3 - 1, action % 3 - 1
        changed = min(max(up + up_change, 0), SPEEDS - 1), min(max(right + right_change, 0), SPEEDS - 1)
        if changed == (0, 0) and self.desc[row][column] != "S":
            changed = up, right
        moved = [(share * p, *rest) for share, velocity in ((1 - self.noise, changed), (self.noise, (up, right)))
                 for p, *rest in self._drive(row, column, *velocity)]  # fmt: skip
        return moved  # type: ignore[return-value]

    def _drive(self, row: int, column: int, up: int, right: int) -> Outcomes:
        """Where a step at a velocity leads: along a straight line of cells, of which the first to end it counts."""
        cells = max(up, right)
        for i in range(1, cells + 1):  # i / cells of the way, rounded to whole cells
            r, c = row - (2 * up * i + cells) // (2 * cells), column + (2 * right * i + cells) // (2 * cells)
            inside = 0 <= r < self.sizes[0] and 0 <= c < self.sizes[1]
            sign = self.desc[r][c] if inside else "#"
            if sign == "G":
                return [(1.0, self.number(r, c, up, right), -1.0, True)]
            if sign == "#":
                return [(1 / len(self._starts), start, -1.0, False) for start in self._starts]
        return [(1.0, self.number(row - up, column + right, up, right), -1.0, False)]

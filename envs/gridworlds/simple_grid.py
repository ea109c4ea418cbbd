"""A grid with walls, pits and goals, by default the 4 x 3 world of Russell and Norvig's textbook."""

from collections.abc import Sequence

from gymnasium import spaces

from envs.gridworlds.world import Outcomes, World, check_map, check_share

AIMA = ("...G", ".#.H", "S...")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left


class SimpleGrid(World):
    """Four moves; with probability `slip` one goes to a side instead, each as likely. A wall or the edge stops it.

    A step costs `step_cost`; a goal (G) pays 1, a pit (H) costs 1, and both end the episode. The observation is
    row x columns + column.
    """

    def __init__(
        self,
        map: Sequence[str] = AIMA,
        slip: float = 0.2,
        step_cost: float = 0.04,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        self.desc, self.slip, self.step_cost = check_map(map, ".#SGH"), check_share(slip, "slip"), float(step_cost)
        self.grid_shape = (len(self.desc), len(self.desc[0]))
        self.grid_moves = dict(enumerate(MOVES))
        self.n_states = self.grid_shape[0] * self.grid_shape[1]
        self.observation_space, self.action_space = spaces.Discrete(self.n_states), spaces.Discrete(4)

    def text_map(self) -> Sequence[str]:
        return self.desc

    def place(self, state: int) -> tuple[int, int]:
        return divmod(state, self.grid_shape[1])

    def starts(self) -> list[int]:
        return [state for state in range(self.n_states) if self._sign(state) == "S"]

    def outcomes(self, state: int, action: int) -> Outcomes:
        if self._sign(state) in "#GH":
            return [(1.0, state, 0.0, True)]
        shares = ((action, 1 - self.slip), ((action - 1) % 4, self.slip / 2), ((action + 1) % 4, self.slip / 2))
        return [(share, *self._arrival(state, MOVES[move])) for move, share in shares]

    def _arrival(self, state: int, move: tuple[int, int]) -> tuple[int, float, bool]:
        row, column = self.place(state)
        row, column = row + move[0], column + move[1]
        inside = 0 <= row < self.grid_shape[0] and 0 <= column < self.grid_shape[1]
        if inside and self.desc[row][column] != "#":
            state = row * self.grid_shape[1] + column
        sign = self._sign(state)
        return state, {"G": 1.0, "H": -1.0}.get(sign, 0.0) - self.step_cost, sign in "GH"

    def _sign(self, state: int) -> str:
        row, column = self.place(state)
        return self.desc[row][column]

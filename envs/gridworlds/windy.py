"""The windy gridworld (Sutton and Barto, "Reinforcement Learning: An Introduction", 2018, examples 6.5, 6.9, 6.10)."""

from collections.abc import Sequence

from gymnasium import spaces

from envs.gridworlds.world import Outcomes, World

WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)  # cells upwards, by the column that is left
ROWS, START, GOAL = 7, (3, 0), (3, 7)
STRAIGHT = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
DIAGONAL = ((-1, 1), (1, 1), (1, -1), (-1, -1))


class WindyGridworld(World):
    """-1 a step until the goal is reached, 15 steps away at best; 7 with the king's eight moves (`kings_moves`).

    With `stochastic_wind` the wind blows one cell more or less in a third of the steps each, where there is any. The
    observation is row x 10 + column.
    """

    def __init__(
        self, kings_moves: bool = False, stochastic_wind: bool = False, render_mode: str | None = None
    ) -> None:
        super().__init__(render_mode)
        self.moves = STRAIGHT + (DIAGONAL if kings_moves else ())
        self.stochastic_wind = stochastic_wind
        self.grid_shape = (ROWS, len(WIND))
        self.grid_moves = dict(enumerate(self.moves))
        self.n_states = ROWS * len(WIND)
        self.observation_space, self.action_space = spaces.Discrete(self.n_states), spaces.Discrete(len(self.moves))

    def text_map(self) -> Sequence[str]:
        signs = {START: "S", GOAL: "G"}
        return ["".join(signs.get((row, column), ".") for column in range(len(WIND))) for row in range(ROWS)]

    def place(self, state: int) -> tuple[int, int]:
        return divmod(state, len(WIND))

    def starts(self) -> list[int]:
        return [START[0] * len(WIND) + START[1]]

    def outcomes(self, state: int, action: int) -> Outcomes:
        (row, column), (down, right) = self.place(state), self.moves[action]
        if (row, column) == GOAL:
            return [(1.0, state, 0.0, True)]
        gusts = (-1, 0, 1) if self.stochastic_wind and WIND[column] else (0,)
        arrivals = [
            (
                min(max(row + down - WIND[column] - gust, 0), ROWS - 1),
                min(max(column + right, 0), len(WIND) - 1),
            )
            for gust in gusts
        ]
        share = 1 / len(gusts)
        return [(share, to[0] * len(WIND) + to[1], -1.0, to == GOAL) for to in arrivals]

"""Six states in a row, the far end of which is worth a visit (Kulkarni et al., "Hierarchical deep reinforcement
learning", NeurIPS 2016, section 4.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.gridworlds.world import Outcomes, World

PLACES = 6
START = 1  # the second state


class StochasticMDP(World):
    """Action 0 goes left; action 1 goes right half of the time and left otherwise, and from the last state left.

    The first state ends the episode, with reward 1 if the last one was visited before and 0.01 if not. The observation
    is the place alone, which hides the visit; with `show_visited` it is [place, visited], and tells all.
    """

    def __init__(self, show_visited: bool = False, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.show_visited = show_visited
        self.n_states = 2 * PLACES  # place x 2 + visited
        self.observation_space = spaces.MultiDiscrete([PLACES, 2]) if show_visited else spaces.Discrete(PLACES)
        self.action_space = spaces.Discrete(2)

    def text_map(self) -> Sequence[str]:
        return ["HS...G"]

    def place(self, state: int) -> tuple[int, int]:
        return 0, state // 2

    def starts(self) -> list[int]:
        return [2 * START]

    def observe(self, state: int) -> Any:
        return np.array(divmod(state, 2)) if self.show_visited else state // 2

    def outcomes(self, state: int, action: int) -> Outcomes:
        place, visited = divmod(state, 2)
        if place == 0:
            return [(1.0, state, 0.0, True)]
        right = 0.5 if action == 1 and place < PLACES - 1 else 0.0
        outcomes = []
        for probability, to in ((right, min(place + 1, PLACES - 1)), (1 - right, place - 1)):
            reward = (1.0 if visited else 0.01) if to == 0 else 0.0
            outcomes.append((probability, 2 * to + (visited or int(to == PLACES - 1)), reward, to == 0))
        return outcomes

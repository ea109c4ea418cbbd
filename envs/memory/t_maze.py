"""The passive T-maze (Ni et al., "When do transformers shine in RL? Decoupling memory from credit assignment", 2023;
the maze is Bakker's, "Reinforcement learning with long short-term memory", 2002)."""

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from envs.memory.rows import Rules, RulesEnv, RulesVector

CORRIDOR, GOAL_UP, GOAL_DOWN, JUNCTION = range(4)  # observations
LEFT, UP, RIGHT, DOWN = range(4)  # actions
CELL = 12  # pixels


class TMazeRules(Rules):
    """A sign at the start tells which arm holds the goal; `length` steps to the right is the junction, where it counts.

    The first observation is 1 or 2 (goal up, goal down); all others are 0 in the corridor and 3 at the junction. Going
    up or down there ends the episode, with reward 1 in the right arm. Each step that ends left of where a straight walk
    would be costs 1 / length. The best return is 1; without memory it is 0.5, half of the episodes being successes
    (`info["is_success"]`). After 2 length + 1 steps the time is out: with the length + 1 of the paper a single wrong
    step would keep a beginner from ever seeing the junction.
    """

    saved = ("goal", "place", "steps", "arm")

    def __init__(self, n: int, length: int = 30) -> None:
        if not isinstance(length, int) or length < 1:
            raise UserError(f"env_cfg.kwargs.length={length}: it must be a whole number of at least 1")
        self.length = length
        self.observation_space, self.action_space = spaces.Discrete(4), spaces.Discrete(4)
        self.goal = np.full(n, UP)
        self.place, self.steps, self.arm = (np.zeros(n, np.int64) for _ in range(3))

    def start(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        self.goal[rows] = np.where(rng.integers(2, size=len(rows)) == 0, UP, DOWN)
        self.place[rows] = self.steps[rows] = self.arm[rows] = 0

    def observe(self) -> np.ndarray:
        sign = np.where(self.goal == UP, GOAL_UP, GOAL_DOWN)
        seen = np.where(self.place == self.length, JUNCTION, CORRIDOR)
        return np.where(self.steps == 0, sign, seen)

    def advance(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        chosen = (self.place == self.length) & ((action == UP) | (action == DOWN))
        right = chosen & (action == self.goal)
        move = np.where(action == RIGHT, 1, np.where(action == LEFT, -1, 0))
        self.place = np.clip(self.place + move, 0, self.length)
        self.arm = np.where(chosen, np.where(action == UP, -1, 1), 0)
        self.steps = self.steps + 1
        behind = ~chosen & (self.place < self.steps)
        reward = right.astype(np.float64) - behind / self.length
        return reward, chosen, ~chosen & (self.steps > 2 * self.length), {"is_success": right}

    def frame(self, row: int) -> np.ndarray:
        """The maze, the goal in green while it is shown and at the end, the agent in blue."""
        cells = np.full((3, self.length + 1, 3), 90, np.uint8)
        cells[1], cells[:, -1] = 245, 245
        if self.steps[row] == 0 or self.arm[row]:
            cells[0 if self.goal[row] == UP else 2, -1] = (120, 190, 120)
        cells[1 + self.arm[row], self.place[row]] = (45, 85, 150)
        return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)


class TMaze(RulesEnv):
    """One maze; see `TMazeRules`."""

    def __init__(self, length: int = 30, render_mode: str | None = None) -> None:
        super().__init__(TMazeRules(1, length), render_mode)


class TMazeVector(RulesVector):
    """Many mazes in step; see `TMazeRules`."""

    def __init__(
        self, num_envs: int = 1, length: int = 30, max_episode_steps: int | None = None, render_mode: str | None = None
    ) -> None:
        super().__init__(lambda n: TMazeRules(n, length), num_envs, max_episode_steps, render_mode)

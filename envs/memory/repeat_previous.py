"""Repeat what was seen a while ago (Morad et al., "POPGym: Benchmarking partially observable RL", ICLR 2023)."""

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from envs.memory.rows import Rules, RulesEnv, RulesVector

SUITS, DECK = 4, 52
COLOURS = np.array([(45, 85, 150), (190, 60, 60), (70, 140, 80), (215, 160, 50)], np.uint8)


class RepeatPreviousRules(Rules):
    """Cards are dealt one a step, from `n_decks` shuffled decks; the k-th last of them, counting the present one as
    the first, is to be named by its suit.

    The observation is the present suit. A right answer brings 1 / (cards - k), a wrong one costs as much, and so the
    return lies in [-1, 1]; before k cards are out answers bring nothing. Easy: 1 deck, k = 4; medium 2, 32; hard 3, 64.
    By the present card alone no policy gets past 2 * 13 / 51 - 1 = -0.490 with one deck: the other suits are a bit
    likelier. POPGym calls the end of the cards a truncation; here it is what it is, the end of the task.
    """

    saved = ("suits", "dealt")

    def __init__(self, n: int, n_decks: int = 1, k: int = 4) -> None:
        for name, value, most in (("n_decks", n_decks, None), ("k", k, DECK * n_decks - 1)):
            if not isinstance(value, int) or value < 1 or (most is not None and value > most):
                bound = "" if most is None else f" and at most {most}"
                raise UserError(f"env_cfg.kwargs.{name}={value}: it must be a whole number of at least 1{bound}")
        self.k, self.cards = k, DECK * n_decks
        self.observation_space, self.action_space = spaces.Discrete(SUITS), spaces.Discrete(SUITS)
        self.new_deck = np.arange(self.cards) % SUITS
        self.suits = np.tile(self.new_deck, (n, 1))
        self.dealt = np.ones(n, np.int64)

    def start(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        self.suits[rows] = rng.permuted(np.tile(self.new_deck, (len(rows), 1)), axis=1)
        self.dealt[rows] = 1

    def observe(self) -> np.ndarray:
        return self._card(self.dealt - 1)

    def advance(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        asked, size = self.dealt - self.k, 1 / (self.cards - self.k)
        right = action == self._card(np.maximum(asked, 0))
        reward = np.where(asked >= 0, np.where(right, size, -size), 0.0)
        self.dealt = self.dealt + 1
        return reward, self.dealt == self.cards, np.zeros(len(reward), np.bool_), {}

    def _card(self, place: np.ndarray) -> np.ndarray:
        return self.suits[np.arange(len(self.suits)), place]

    def frame(self, row: int) -> np.ndarray:
        """The cards that count, from the one asked for (framed) to the present one on the right."""
        places = np.arange(self.dealt[row] - self.k, self.dealt[row])
        colours = np.where(places[:, None] >= 0, COLOURS[self.suits[row, np.maximum(places, 0)]], 235)
        picture = np.full((48, 24 * self.k, 3), 255, np.uint8)
        for index, colour in enumerate(colours):
            if index == 0:
                picture[4:44, :24] = 0
            picture[8:40, 24 * index + 4 : 24 * index + 20] = colour
        return picture


class RepeatPrevious(RulesEnv):
    """One game; see `RepeatPreviousRules`."""

    def __init__(self, n_decks: int = 1, k: int = 4, render_mode: str | None = None) -> None:
        super().__init__(RepeatPreviousRules(1, n_decks, k), render_mode)


class RepeatPreviousVector(RulesVector):
    """Many games in step; see `RepeatPreviousRules`."""

    def __init__(
        self, num_envs: int = 1, n_decks: int = 1, k: int = 4,
        max_episode_steps: int | None = None, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(lambda n: RepeatPreviousRules(n, n_decks, k), num_envs, max_episode_steps, render_mode)

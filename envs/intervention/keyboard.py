"""A person at the keyboard."""

from typing import Any

import gymnasium as gym
import numpy as np

from algos.common.settings import require
from envs.intervention.settings import check_flag, is_number
from envs.intervention.window import Window

# key -> (number of the hand's motion, direction); two names for one direction where laptops lack a key
MOVES = {
    "left": (0, -1), "right": (0, 1), "down": (1, -1), "up": (1, 1),
    "page down": (2, -1), "page up": (2, 1), "f": (2, -1), "r": (2, 1),
    "a": (3, -1), "d": (3, 1), "s": (4, -1), "w": (4, 1), "q": (5, 1), "e": (5, -1),
}  # fmt: skip
GRIPS = {"c": -1.0, "o": 1.0}


class Keyboard(Window):
    """The keys, in the window: space takes over and hands back; with `hold`, it acts while space is held down.

    Arrows move in x and y, page up and down (or R and F) in z; A D, S W and E Q turn; C closes the gripper and O opens
    it; tab changes hands; return ends the episode as a success, backspace as a failure. A motion is at `speed`, a share
    of the most. `fps` and `hands` are those of `Window`.
    """

    help = (
        "space: take over, hand back    return: success    backspace: failure    tab: other hand\n"
        "arrows: x, y    page up, down or R, F: z    A D, S W, E Q: turn    C: close    O: open"
    )

    def __init__(
        self, env: gym.Env, hold: bool = False, speed: float = 1.0, fps: float = 10.0, hands: int | None = None
    ) -> None:
        super().__init__(env, fps, hands)
        check_flag("keyboard", "hold", hold)
        require(is_number(speed) and 0 < speed <= 1, f"device=keyboard: speed={speed} must be above 0 and at most 1")
        self._hold, self._speed = hold, speed
        self._down: set[str] = set()

    def on(self, event: Any) -> None:
        """Keys are followed by their events, so that a short press between two steps counts, too."""
        pygame = self.pygame
        if event.type == pygame.WINDOWFOCUSLOST:  # no key is seen to come up from here on
            self._down.clear()
            self.acting = self.acting and not self._hold
        if event.type == pygame.KEYUP:
            self._down.discard(pygame.key.name(event.key))
            if event.key == pygame.K_SPACE and self._hold:
                self.acting = False
        if event.type != pygame.KEYDOWN:
            return
        if event.key == pygame.K_SPACE:
            self.acting = self._hold or not self.acting
        elif event.key in (pygame.K_RETURN, pygame.K_BACKSPACE):
            self.judge(event.key == pygame.K_RETURN)
        elif event.key == pygame.K_TAB:
            self.next_hand()
        else:
            self._down.add(pygame.key.name(event.key))

    def read(self) -> np.ndarray:
        """The action of the keys that are down."""
        motion = np.zeros(6)
        for key in self._down & MOVES.keys():
            entry, direction = MOVES[key]
            motion[entry] += self._speed * direction
        command = sum(GRIPS[key] for key in self._down & GRIPS.keys())
        return self.hands.action(self.hand, motion, command)

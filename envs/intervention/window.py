"""The window of a device for people, drawn by pygame: it shows the cameras, takes keys, and sets the pace."""

import logging
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from algos.common.errors import UserError
from algos.common.settings import require
from envs.intervention.hands import Hands
from envs.intervention.settings import is_number

log = logging.getLogger("joyride")
LEAST, LINE = 240, 22  # pixels: an image is enlarged to at least this; a line of text
GROUND, INK, ACTING = (28, 30, 34), (226, 226, 220), (240, 140, 30)


class Window:
    """What devices for people share: events of pygame, the cameras on the screen, the verdict, and the pace.

    `fps` is the most steps a second, 0 for as many as there can be. `hands` tells how many hands the actions move where
    the environment does not. Only one environment of a process can have a window. Raises UserError where pygame or a
    display is missing.
    """

    help: str = ""
    alone = True
    _open: "Window | None" = None  # the one of this process

    def __init__(self, env: gym.Env, fps: float = 10.0, hands: int | None = None) -> None:
        self.pygame = _pygame(type(self).__name__.lower())
        fits = is_number(fps) and fps >= 0
        require(fits, f"fps={fps} must be a number of at least 0 (steps a second; 0: no limit)")
        self.env, self.fps, self.hands = env, fps, Hands(env, hands)
        self.hand, self.acting = 0, False
        self._verdict: bool | None = None
        self._screen: Any = None
        self._clock, self._closed = self.pygame.time.Clock(), False

    def begin(self, seed: int | None) -> None:
        """Open the window in the first episode."""
        self._verdict = None
        if self._screen is None and not self._closed:
            self._show_up()

    def active(self) -> bool:
        """Whether the person acts, by all that has been pressed until now."""
        if self._screen is None:
            return False
        if self.fps:
            self._clock.tick(self.fps)
        for event in self.pygame.event.get():
            if event.type == self.pygame.QUIT:
                log.info("the window was closed: nobody intervenes any more")
                self._closed = True
                self.close()
                return False
            self.on(event)
        return self.acting

    def on(self, event: Any) -> None:
        """One event of pygame's."""
        raise NotImplementedError

    def verdict(self) -> bool | None:
        """What the person said of the episode, once."""
        verdict, self._verdict = self._verdict, None
        return verdict

    def judge(self, success: bool) -> None:
        """The person ends the episode."""
        self._verdict = success

    def next_hand(self) -> None:
        """The keys move the other hand."""
        self.hand = (self.hand + 1) % self.hands.count

    def show(self, obs: Any) -> None:
        """The cameras, who acts, and the keys."""
        if self._screen is None:
            return
        draw, views = self.pygame, [self._enlarged(view) for view in self._views(obs)]
        lines = [f"{'you act' if self.acting else 'the policy acts'}{self._which()}", *self.help.splitlines()]
        texts = [
            self._font.render(line, True, ACTING if not i and self.acting else INK) for i, line in enumerate(lines)
        ]
        width = max(sum(view.get_width() for view in views), *(text.get_width() + 16 for text in texts))
        height = max((view.get_height() for view in views), default=0)
        size = width, height + LINE * len(texts) + 8
        if self._screen.get_size() != size:
            self._screen = draw.display.set_mode(size)
        self._screen.fill(GROUND)
        left = 0
        for view in views:
            self._screen.blit(view, (left, 0))
            left += view.get_width()
        for index, text in enumerate(texts):
            self._screen.blit(text, (8, height + 4 + LINE * index))
        draw.display.flip()

    def close(self) -> None:
        """Close the window."""
        if self._screen is not None:
            self._screen, self.acting, Window._open = None, False, None
            self.pygame.display.quit()

    def _which(self) -> str:
        return f", hand {self.hand + 1}" if self.hands.count == 2 else ""

    def _views(self, obs: Any) -> list[np.ndarray]:
        """The environment's frame if it draws one, else the images uint8 [H, W, 3] of a Dict observation."""
        if self.env.render_mode == "rgb_array":
            frames: list[Any] = [self.env.render()]
        else:
            frames = list(obs.values()) if isinstance(obs, Mapping) else [obs]
        arrays = [np.asarray(frame) for frame in frames]
        return [array for array in arrays if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3]

    def _enlarged(self, view: np.ndarray) -> Any:
        height, width = view.shape[:2]
        times = max(-(-LEAST // height), 1)
        picture = self.pygame.image.frombuffer(np.ascontiguousarray(view).tobytes(), (width, height), "RGB")
        return self.pygame.transform.scale(picture, (width * times, height * times))

    def _show_up(self) -> None:
        name = type(self).__name__.lower()
        if Window._open is not None:
            raise UserError(
                f"device={name}: one person steers one environment: n_envs=1, and train_only: true in the wrapper"
            )
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # without one, SDL prints lines of its own
        try:
            self.pygame.display.init()
            screen = self.pygame.display.set_mode((480, 320))
        except self.pygame.error as error:
            raise UserError(f"device={name} needs a display and found none [{error}]") from error
        if "SDL_VIDEODRIVER" not in os.environ and self.pygame.display.get_driver() in ("offscreen", "dummy"):
            self.pygame.display.quit()
            raise UserError(f"device={name} needs a display and found none")
        Window._open, self._screen = self, screen
        self.pygame.display.set_caption("Joyride")
        self.pygame.font.init()
        self._font = self.pygame.font.Font(None, 20)


def _pygame(device: str) -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise UserError(f'device={device} needs pygame: pip install "gymnasium[classic-control]"') from error
    return pygame

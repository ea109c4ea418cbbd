"""A person with a gamepad."""

import os
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from algos.common.errors import UserError, did_you_mean
from algos.common.settings import require
from envs.intervention.settings import is_number
from envs.intervention.window import Window

AXES = ((0, 1), (1, -1), (4, -1), None, None, (3, -1))  # of each number of a hand: (axis, direction); down is positive
BUTTONS = {"act": 4, "close": 0, "open": 1, "hand": 3, "success": 7, "failure": 6}


class Gamepad(Window):
    """The person acts while `act` (left shoulder) is held. Left stick: x and y; right stick: z, and to turn (yaw).

    Buttons: A closes the gripper, B opens it, Y changes hands, start ends the episode as a success, back as a failure.
    They are numbered as on an Xbox pad; `buttons` gives others, {act: 5} say. What is within `dead` of the middle of a
    stick counts as the middle. `fps` and `hands` are those of `Window`. Raises UserError where there is no gamepad.
    """

    help = "left shoulder: hold to act    start: success    back: failure    Y: other hand    A: close    B: open"

    def __init__(
        self,
        env: gym.Env,
        buttons: dict[str, int] | None = None,
        dead: float = 0.1,
        fps: float = 10.0,
        hands: int | None = None,
    ) -> None:
        super().__init__(env, fps, hands)
        if buttons is not None and not isinstance(buttons, Mapping):
            raise UserError(f"device=gamepad: buttons={buttons} must give buttons their numbers, {{act: 5}} say")
        for name, number in (buttons or {}).items():
            if name not in BUTTONS:
                raise UserError(f"device=gamepad: no button {name!r}; {did_you_mean(str(name), BUTTONS)}")
            if type(number) is not int or number < 0:
                raise UserError(f"device=gamepad: buttons.{name}={number} must be the number of a button")
        require(is_number(dead) and 0 <= dead < 1, f"device=gamepad: dead={dead} must be at least 0 and below 1")
        self._buttons, self._dead = {**BUTTONS, **(buttons or {})}, dead
        self._axes: dict[int, float] = {}
        self._down: set[int] = set()
        self._pads: list[Any] = []  # pygame sends events of those alone that somebody holds

    def begin(self, seed: int | None) -> None:
        """Find the gamepads in the first episode."""
        os.environ.setdefault("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
        super().begin(seed)
        if self._screen is None or self._pads:
            return
        joystick = self.pygame.joystick
        joystick.init()
        if joystick.get_count() == 0:
            self.close()
            raise UserError("device=gamepad: no gamepad was found; connect one, or use device: keyboard")
        self._pads = [joystick.Joystick(index) for index in range(joystick.get_count())]

    def on(self, event: Any) -> None:
        """Sticks and buttons."""
        pygame = self.pygame
        if event.type == pygame.JOYAXISMOTION:
            self._axes[event.axis] = 0.0 if abs(event.value) < self._dead else float(event.value)
        elif event.type == pygame.JOYBUTTONDOWN:
            self._down.add(event.button)
            for name in ("success", "failure"):
                if event.button == self._buttons[name]:
                    self.judge(name == "success")
            if event.button == self._buttons["hand"]:
                self.next_hand()
        elif event.type == pygame.JOYBUTTONUP:
            self._down.discard(event.button)
        self.acting = self._buttons["act"] in self._down

    def read(self) -> np.ndarray:
        """The action of sticks and buttons."""
        motion = [0.0 if axis is None else axis[1] * self._axes.get(axis[0], 0.0) for axis in AXES]
        command = float(self._buttons["open"] in self._down) - float(self._buttons["close"] in self._down)
        return self.hands.action(self.hand, motion, command)

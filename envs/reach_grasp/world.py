"""A gripper over a table, seen by cameras: reach an object, grasp it, lift it."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError, did_you_mean
from envs.reach_grasp import expert as person
from envs.reach_grasp.drawing import COLOURS, overhead, wrist
from envs.reach_grasp.picture import picture

HEIGHT = 0.7  # of the space above the table
TURN, MOST_YAW, MOST_TILT = 0.1, np.pi / 2, 0.6  # radians: a step at most, and in all
GRIP = 0.5  # how far a gripper opens or closes in a step


@dataclass(frozen=True)
class Grade:
    """Speeds are lengths a step; `reach` is how far from its middle an object is grasped, in x and in y."""

    speed: float
    speed_z: float
    reach: float
    limit: int  # steps of an episode


GRADES = {"easy": Grade(0.10, 0.08, 0.09, 60), "hard": Grade(0.06, 0.06, 0.06, 100)}


class ReachGrasp(gym.Env[Any, np.ndarray]):
    """Lift the object: reward 1 and the end of the episode when it is held above 0.25, else 0. The table is [-1, 1]^2.

    An action is, for each hand, `motion` numbers in [-1, 1]: dx, dy, dz, and with 6 of them roll, pitch and yaw, which
    turn the gripper in the pictures but have no part in a grasp; then, with a "learned" gripper, its command: <= -0.5
    closes, >= 0.5 opens, between it holds. A closing gripper that is open, below 0.08, and near the object grasps it;
    one that misses must open again first; opening drops it. A "fixed" gripper closes by itself as soon as it is low and
    near, and never opens. Two hands have an object each, in a half of the table each, which they cannot leave (x <= 0
    and x >= 0): both objects must be above 0.25 at the same time. `grade` is easy (60 steps) or hard (slower, a smaller
    reach, 100 steps); then the episode is truncated.

    Observation: the cameras `overhead` and `wrist` (`wrist_2` of a second hand), uint8 [image_size, image_size, 3], and
    `state`, float32 [4 a hand]: x, y, z, opening. `info["is_success"]`, also as `success`. `expert` and `cost_to_go`
    are those of envs/reach_grasp/expert.py. Raises UserError for a kwarg that is not allowed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    LOW, LIFTED = 0.08, 0.25  # heights: a grasp is below, success above

    def __init__(
        self,
        grade: str = "easy",
        hands: int = 1,
        gripper: str = "learned",
        motion: int = 6,
        image_size: int = 64,
        render_mode: str | None = None,
    ) -> None:
        _check(grade, hands, gripper, motion, image_size)
        self.render_mode, self.grade, self.image_size = render_mode, GRADES[grade], image_size
        self.hands, self.gripper, self.motion = hands, gripper, motion
        self.speed = np.array([self.grade.speed, self.grade.speed, self.grade.speed_z])
        entries = [True] * motion + [False] * (gripper == "learned")
        self.motion_entries = np.array(entries * hands)  # [A]: which numbers of an action are no commands
        self.action_space = spaces.Box(-1.0, 1.0, (len(self.motion_entries),), np.float32)
        cameras = ["overhead", "wrist", "wrist_2"][: 1 + hands]
        image = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        low, high = (np.array(bounds * hands, np.float32) for bounds in ([-1, -1, 0, 0], [1, 1, HEIGHT, 1]))
        state = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = spaces.Dict({**dict.fromkeys(cameras, image), "state": state})
        self.tip, self.object, self.angles = (np.zeros((hands, 3)) for _ in range(3))
        self.opening, self.held = np.ones(hands), np.zeros(hands, bool)
        self.colour = [COLOURS[0]] * hands
        self._light = np.arange(256, dtype=np.uint8)
        self._sides = np.array([[-1.0, 0.0], [0.0, 1.0]]) if hands == 2 else np.array([[-1.0, 1.0]])  # of x, by hand
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Gripper and object at random places, one of three colours, a little more or less light."""
        super().reset(seed=seed)
        draw, n = self.np_random.uniform, self.hands
        for places in (self.tip, self.object):
            places[:, :2] = draw(-0.7, 0.7, (n, 2))
            if n == 2:
                places[:, 0] = draw(0.1, 0.7, 2) * (-1, 1)
        self.tip[:, 2], self.object[:, 2] = draw(0.35, 0.55, n), 0.0
        self.angles[:], self.opening[:], self.held[:] = 0.0, 1.0, False
        self.colour = [COLOURS[index] for index in self.np_random.integers(len(COLOURS), size=n)]
        self._light = np.clip(np.arange(256) * draw(0.9, 1.1), 0, 255).astype(np.uint8)
        self.steps = 0
        return self._obs(), {"is_success": False, "success": False}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move, then close or open. Numbers beyond [-1, 1] count as the nearest of it; ValueError for NaN."""
        given = np.asarray(action, np.float64)
        if np.isnan(given).any():
            raise ValueError(f"the action {given.tolist()} holds nan; nothing has moved")
        parts = np.clip(given, -1.0, 1.0).reshape(self.hands, -1)
        self._move(parts)
        for hand in range(self.hands):
            if self.gripper == "learned":
                command = parts[hand, -1]
                self._close(hand) if command <= -0.5 else self._open(hand) if command >= 0.5 else None
            elif self._can_grasp(hand):
                self._close(hand)
        self.object[self.held] = self.tip[self.held]
        self.steps += 1
        success = bool((self.held & (self.tip[:, 2] > self.LIFTED)).all())
        truncated = not success and self.steps >= self.grade.limit
        return self._obs(), float(success), success, truncated, {"is_success": success, "success": success}

    def expert(self) -> np.ndarray:
        """The action [A] that the scripted person takes now."""
        return person.expert(self)

    def cost_to_go(self) -> float:
        """Steps that the scripted person would need from here."""
        return person.cost_to_go(self)

    def render(self) -> np.ndarray | None:
        """The cameras side by side, large, with a line that tells what happens [H, W, 3]."""
        return None if self.render_mode is None else picture(self)

    def lit(self, pixels: np.ndarray) -> np.ndarray:
        """A picture in the light of this episode."""
        return self._light[pixels]

    def _move(self, parts: np.ndarray) -> None:
        self.tip += parts[:, :3] * self.speed
        np.clip(self.tip[:, 0], self._sides[:, 0], self._sides[:, 1], out=self.tip[:, 0])
        np.clip(self.tip[:, 1], -1.0, 1.0, out=self.tip[:, 1])
        np.clip(self.tip[:, 2], 0.0, HEIGHT, out=self.tip[:, 2])
        if self.motion == 6:
            most = (MOST_TILT, MOST_TILT, MOST_YAW)
            self.angles = np.clip(self.angles + TURN * parts[:, 3:6], np.negative(most), most)

    def _can_grasp(self, hand: int) -> bool:
        x, y, z = self.tip[hand]
        away = max(abs(x - self.object[hand, 0]), abs(y - self.object[hand, 1]))
        return self.opening[hand] > 0.5 and z < self.LOW and away < self.grade.reach

    def _close(self, hand: int) -> None:
        self.held[hand] = self.held[hand] or self._can_grasp(hand)
        least = 0.5 if self.held[hand] else 0.0  # the object is between the fingers
        self.opening[hand] = max(self.opening[hand] - GRIP, least)

    def _open(self, hand: int) -> None:
        self.opening[hand] = min(self.opening[hand] + GRIP, 1.0)
        if self.held[hand]:
            self.held[hand], self.object[hand, 2] = False, 0.0

    def _obs(self) -> dict[str, np.ndarray]:
        views = {"overhead": overhead(self, self.image_size)}
        for hand in range(self.hands):
            views["wrist_2" if hand else "wrist"] = wrist(self, hand, self.image_size)
        state = np.concatenate([self.tip, self.opening[:, None]], axis=1, dtype=np.float32).ravel()
        return {**views, "state": state}


def _check(grade: Any, hands: Any, gripper: Any, motion: Any, image_size: Any) -> None:
    for name, value, known in (("grade", grade, list(GRADES)), ("gripper", gripper, ["fixed", "learned"])):
        if value not in known:
            raise UserError(f"env_cfg.kwargs.{name}={value} is not allowed; {did_you_mean(str(value), known)}")
    for name, value, allowed in (("hands", hands, (1, 2)), ("motion", motion, (3, 6))):
        if type(value) is not int or value not in allowed:
            raise UserError(f"env_cfg.kwargs.{name}={value} is not allowed; choose {allowed[0]} or {allowed[1]}")
    if isinstance(image_size, bool) or not isinstance(image_size, int) or not 32 <= image_size <= 128:
        raise UserError(f"env_cfg.kwargs.image_size={image_size} must be a whole number from 32 to 128 (pixels)")

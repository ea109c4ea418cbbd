"""A robot of one motion number and a gripper, whose task is known: a place, and a gripper as the state asks."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Robot(gym.Env):
    """In each step pays 1 for a gripper as asked, less the distance of the motion from the side that is asked.

    `state` is the side (-0.5: shut the gripper, 0.5: open it) and the opening; with `camera` there is a picture too.
    Each episode of 5 steps asks for one side and begins with the gripper as it is not asked for.
    """

    def __init__(self, camera=False):
        state = spaces.Box(np.float32([-1, 0]), np.float32([1, 1]))
        self.camera = spaces.Box(0, 255, (16, 16, 3), np.uint8) if camera else None
        self.observation_space = spaces.Dict({"camera": self.camera, "state": state}) if camera else state
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def _obs(self):
        state = np.array([self.side, self.opening], np.float32)
        if self.camera is None:
            return state
        picture = np.zeros((16, 16, 3), np.uint8)
        picture[4:12, : 8 if self.side < 0 else 16] = 255
        picture[:2] = 200 if self.opening else 50
        return {"camera": picture, "state": state}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side = 0.5 * float(self.np_random.choice([-1, 1]))
        self.opening, self.steps = float(self.side < 0), 0
        return self._obs(), {}

    def step(self, action):
        motion, command = (float(number) for number in action)
        if abs(command) >= 0.5:
            self.opening = float(command > 0)
        self.steps += 1
        reward = float(self.opening == (self.side > 0)) - abs(motion - self.side)
        return self._obs(), reward, False, self.steps == 5, {}

"""An environment that tells reward components, a metric and success."""

import gymnasium as gym
import numpy as np


class Told(gym.Env):
    """Episodes of `length` steps that tell components (one only now and then), a metric, and success."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=3, first=0, box=False):
        self.length, self.first = length, first
        if box:
            self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {"reward_components": {"walk": 1e6}, "is_success": True}  # not a step's

    def step(self, action):
        self.t += 1
        walk, bonus = (self.first if self.t == 1 else 0.25 * self.t), 0.5
        told = {"walk": walk} | ({"bonus": bonus} if self.t % 2 == 0 else {})
        info = {"reward_components": told, "log": {"/robot/height": self.t}, "is_success": self.length > 3}
        done = self.t == self.length
        return np.zeros(1, np.float32), sum(told.values()), done, False, info

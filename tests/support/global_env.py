"""Environments that draw from the global streams of NumPy and of Python."""

import random

import gymnasium as gym
import numpy as np


class Global(gym.Env):
    """Two numbers in [0, 1), of np.random and of random; `at`: they are drawn in reset or in step."""

    observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, at="step"):
        self.at, self.drawn = at, np.zeros(2, np.float32)

    def draw(self):
        self.drawn = np.array([np.random.rand(), random.random()], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        if self.at == "reset":
            self.draw()
        return self.drawn, {}

    def step(self, action):
        self.t += 1
        if self.at == "step":
            self.draw()
        return self.drawn + self.t, float(self.drawn[0]), False, self.t == 7, {}

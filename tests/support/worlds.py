"""Problems whose answer is known, for all tests of learning."""

import os

import gymnasium as gym
import numpy as np
from gymnasium import spaces

HOT = np.eye(3, dtype=np.float32)
Q_STAR = [[0.3, 0.81], [0.3, 0.9], [0.3, 1.0]]  # of Chain, gamma 0.9


class Chain(gym.Env):
    """States 0, 1, 2, one-hot. Action 0 leaves at once with 0.3; action 1 goes on, and leaves state 2 with 1.

    Q*(s, 0) = 0.3; Q*(2, 1) = 1, Q*(1, 1) = 0.9, Q*(0, 1) = 0.81: patience pays, greed is a trap.
    """

    observation_space = spaces.Box(0, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return HOT[0], {}

    def step(self, action):
        if action == 0:
            return HOT[self.place], 0.3, True, False, {}
        self.place += 1
        done = self.place == 3
        return HOT[min(self.place, 2)], float(done), done, False, {}


class Endless(gym.Env):
    """One state; action 1 pays 1, action 0 nothing; it never ends, but is cut after 5 steps.

    With gamma 0.5 the value of always taking action 1 is 1 / (1 - 0.5) = 2. Who takes the cut for an end finds at
    most 1 for the last step, and less than 2 on the whole.
    """

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.ones(1, np.float32), float(action), False, self.steps == 5, {}


class Wanderer(Chain):
    """Goes to the folder of its assets when it is made, as some simulators do."""

    def __init__(self):
        os.chdir(os.environ["GOES_TO"])

"""An environment that fails at its step number `at`, counted over all its episodes of 10 steps."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

VALUE = spaces.Box(-np.inf, np.inf, (2,), np.float64)


class Faulty(gym.Env):
    """`what`: obs, obs2 (the second part of a Dict), reward or raise; or "" for none."""

    def __init__(self, what="obs", at=25, value=float("nan"), box=False):
        self.what, self.at, self.value, self.steps = what, at, value, 0
        self.observation_space = spaces.Dict({"one": VALUE, "two": VALUE}) if what == "obs2" else VALUE
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if box else spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.obs(False), {}

    def step(self, action):
        self.steps, self.t = self.steps + 1, self.t + 1
        now = self.steps == self.at
        if now and self.what == "raise":
            raise ZeroDivisionError("broken joint")
        reward = self.value if now and self.what == "reward" else 1.0
        return self.obs(now), reward, False, self.t == 10, {}

    def obs(self, now):
        obs = self.np_random.normal(size=2)
        wrong = np.array([obs[0], self.value]) if now else obs
        return {"one": obs, "two": wrong} if self.what == "obs2" else wrong if self.what == "obs" else obs


class FaultyFrom(Faulty):
    """Its reward is `value` from its step number `at` on."""

    def step(self, action):
        obs, _, terminated, truncated, info = super().step(action)
        return obs, self.value if self.steps >= self.at else 1.0, terminated, truncated, info

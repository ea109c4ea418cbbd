"""An environment that tells success, and other values, at the end of an episode."""

import gymnasium as gym
import numpy as np


class Ending(gym.Env):
    """Four steps of reward 2; `success` where the seed of the episode is even; `place` counts up from half a step."""

    metadata = {"render_modes": []}
    observation_space = gym.spaces.Box(0, 10, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, name="success"):
        self.name = name

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.luck = 0, bool(self.np_random.integers(2))
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        info = {self.name: self.luck, "place": self.t if self.t == 1 else self.t + 0.5, "why": f"after\n{self.t}"}
        info["rewards"] = {"speed": 0.25 * self.t, "taken": int(action)}
        return np.full(1, self.t, np.float32), 2.0, self.t == 4, False, info


gym.register("Ending-v0", Ending, max_episode_steps=9)


class Halve(gym.Wrapper):
    """Changes rewards in a step of its own."""

    def step(self, action):
        obs, reward, *rest = self.env.step(action)
        return obs, reward / 2, *rest


class Look(gym.ObservationWrapper):
    """Changes no reward."""

    def observation(self, observation):
        return observation

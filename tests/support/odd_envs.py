"""An environment whose every part can be replaced, as an entry point and as an object."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

BOX = spaces.Box(-1, 1, (3,), np.float32)


class Mission(spaces.Space):
    """Texts, in a class of the environment's own, as MiniGrid has it."""

    def __init__(self):
        super().__init__((), str)

    def contains(self, x):
        return isinstance(x, str)


class Odd(gym.Env):
    """Ten steps of zeros; `obs`, `step_as` and `reset_as` (of the usual answer) replace what is returned."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = BOX
    action_space = spaces.Discrete(2)
    obs = np.zeros(3, np.float32)
    taken = None  # the actions, where a list stands here

    def __init__(self, render_mode=None):
        self.render_mode, self.t = render_mode, 0

    def step_as(self, answer):
        return answer

    def reset_as(self, answer):
        return answer

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.reset_as((self.obs, {}))

    def step(self, action):
        assert self.action_space.contains(action), repr(action)
        self.t += 1
        return self.step_as((self.obs, 1.0, self.t >= 10, False, {}))

    def render(self):
        return np.full((40, 50, 3), 20 * self.t, np.uint8)


class Grid(Odd):
    """Observations with a mission."""

    observation_space = spaces.Dict(image=spaces.Box(0, 255, (7, 7, 3), np.uint8), mission=Mission())

    @property
    def obs(self):
        return {"image": np.full((7, 7, 3), self.t, np.uint8), "mission": "go" * (1 + self.t)}


class Choices(Odd):
    """Tuples as actions."""

    action_space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)))


class Four(Odd):
    """Steps as Gym's before 0.26."""

    def step_as(self, answer):
        return (*answer[:2], answer[2] or answer[3], answer[4])


class Endless(Odd):
    """Episodes without an end."""

    def step_as(self, answer):
        return (*answer[:2], False, False, {})


class Unseen(Odd):
    """Renders nothing."""

    def render(self):
        return None


def odd(**attributes):
    """An object of a class with these attributes; functions are methods."""
    return type("Made", (Odd,), attributes)()

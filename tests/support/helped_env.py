"""An environment in which somebody intervenes now and then, and which keeps a log of what it executed."""

import copy

import gymnasium as gym
import numpy as np

SPACES = {
    "box": gym.spaces.Box(np.float32([-2, 0]), np.float32([2, 1])),
    "discrete": gym.spaces.Discrete(4, start=5),
    "many": gym.spaces.MultiDiscrete([2, 3]),
    "binary": gym.spaces.MultiBinary(3),
}
CAMERA = gym.spaces.Box(0, 255, (28, 28, 3), np.uint8)
STATE = gym.spaces.Box(-1, 1, (3,), np.float32)


class Helped(gym.Env):
    """Episodes of up to `length` steps, about half of them truncated; a step in `share` is another's for a while.

    `log`: of each step obs, the executed action, whether it was another's, next_obs, terminated and truncated.
    Observations are noise, so that no two are alike; `pictures`: of two cameras and a state.
    """

    def __init__(self, actions="box", share=0.2, length=9, pictures=False, success=True, broken=None):
        self.action_space = copy.deepcopy(SPACES[actions])  # its stream is of this environment alone
        self.observation_space = (
            gym.spaces.Dict({"front": CAMERA, "state": STATE, "wrist": CAMERA}) if pictures else STATE
        )
        self.share, self.length, self.success, self.broken = share, length, success, broken
        self.log, self.mine = [], None

    def observe(self):
        rng = self.np_random
        state = rng.uniform(-1, 1, 3).astype(np.float32)
        if not isinstance(self.observation_space, gym.spaces.Dict):
            return state
        cameras = {
            name: np.frombuffer(rng.bytes(28 * 28 * 3), np.uint8).reshape(28, 28, 3) for name in ("front", "wrist")
        }
        return {**cameras, "state": state}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.mine is None or seed is not None:
            self.action_space.seed(int(self.np_random.integers(2**31)))
        self.t, self.mine, self.obs = 0, False, self.observe()
        self.end = int(self.np_random.integers(1, self.length + 1))
        return self.obs, {"intervene_action": self.action_space.sample()}  # not of a step: it counts for nothing

    def step(self, action):
        self.t += 1
        self.mine = self.np_random.random() < (0.7 if self.mine else self.share)
        info = {}
        if self.mine:
            action = self.action_space.sample()
            info = {"intervene_action": action if self.broken is None else self.broken}
        done = self.t == self.end
        terminated = done and bool(self.np_random.random() < 0.5)
        next_obs = self.observe()
        self.log.append((self.obs, np.array(action), self.mine, next_obs, terminated, done and not terminated))
        self.obs = next_obs
        if done and self.success:
            info["is_success"] = bool(terminated)
        return next_obs, float(np.sum(action)), terminated, done and not terminated, info


class Plain(gym.Env):
    """Ten steps an episode; does what it is told."""

    observation_space = STATE
    action_space = SPACES["box"]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action):
        self.t += 1
        obs = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return obs, float(-np.square(action).sum()), False, self.t == 10, {}


class SaysSo(Helped):
    """Tells that it intervenes, and has no wrapper."""

    intervenes = True


class ScriptedIntervention(gym.Wrapper):
    """From step `first` of its life on, episodes whose first observation is positive begin with two steps of zeros."""

    def __init__(self, env, first=0):
        super().__init__(env)
        self.first, self.steps = first, 0

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        self.t, self.due = 0, obs[0] > 0
        return obs, info

    def step(self, action):
        self.steps, self.t = self.steps + 1, self.t + 1
        helped = self.steps > self.first and self.t <= 2 and self.due
        action = np.zeros_like(action) if helped else action
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {**info, **({"intervene_action": action} if helped else {})}


def made_with_a_wrapper():
    """A factory of one's own, as robots have."""
    return ScriptedIntervention(Plain())


gym.register("joyride-test/Made-v0", made_with_a_wrapper)

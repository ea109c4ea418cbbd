"""An environment that raises on a forbidden action; which are allowed changes with the place."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

N = 6  # places and actions
MASKS = np.array([[(place + action) % 3 != 0 for action in range(N)] for place in range(N)], np.int8)
MASKS[2] = np.eye(N, dtype=np.int8)[5]  # one action alone


class Strict(gym.Env):
    """At place p the actions of `MASKS[p]` are allowed; action a leads to place a.

    Being at place 4 pays 1; an episode is cut after 12 steps. `kind`: box (one-hot), table (the number), goal.
    """

    def __init__(self, kind="box", start=0):
        self.kind = kind
        box = spaces.Box(0, 1, (N,), np.float32)
        parts = {"table": spaces.Discrete(N), "box": box}
        self.observation_space = spaces.Dict(
            {"observation": parts[kind], "action_mask": spaces.MultiBinary(N)}
            if kind != "goal"
            else {**dict.fromkeys(("observation", "achieved_goal", "desired_goal"), box),
                  "action_mask": spaces.MultiBinary(N)}
        )  # fmt: skip
        self.action_space, self.first = spaces.Discrete(N, start=start), start

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.t, self.goal = int(self.np_random.integers(N)), 0, int(self.np_random.integers(N))
        return self.obs(), {}

    def step(self, action):
        action = int(action) - self.first
        if not MASKS[self.place][action]:
            raise ValueError(f"action {action} is forbidden at place {self.place}")
        self.place, self.t = action, self.t + 1
        reward = float(self.place == 4) if self.kind != "goal" else float(self.place == self.goal) - 1
        return self.obs(), reward, False, self.t == 12, {}

    def compute_reward(self, achieved, desired, info):
        return (np.asarray(achieved) == np.asarray(desired)).all(-1).astype(float) - 1

    def obs(self):
        hot = np.eye(N, dtype=np.float32)
        mask = MASKS[self.place].copy()
        if self.kind == "table":
            return {"observation": self.place, "action_mask": mask}
        if self.kind == "box":
            return {"observation": hot[self.place], "action_mask": mask}
        return {
            "observation": hot[self.place], "achieved_goal": hot[self.place], "desired_goal": hot[self.goal],
            "action_mask": mask,
        }  # fmt: skip

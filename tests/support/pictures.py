"""Observations that are pictures: made-up streams of steps, and an environment."""

import gymnasium as gym
import numpy as np

from framework.data.rollout import Rollout

SHAPES = {  # of a picture, of its axis in the stack and of the stack's depth; each observation is large enough to share
    "first": ((32, 32), 0, 4),
    "last": ((32, 32), 2, 4),
    "two": ((46, 45), 0, 2),
    "colour, first": ((21, 20, 3), 0, 4),
    "colour, last": ((3, 20, 21), 3, 4),
    "colours, not stacked": ((40, 40, 3), None, 1),
    "grey, not stacked": ((64, 64), None, 1),
}


class Film:
    """An environment's stacked observations; `same` of its pictures differ, at each step a random one comes.

    `jump`: the share of the steps after which nothing of the old stack is left.
    """

    def __init__(self, rng, kind, same=None, jump=0.0, length=50):
        (self.shape, self.axis, self.depth), self.rng, self.jump, self.length = SHAPES[kind], rng, jump, length
        self.known = None if same is None else [self.fresh() for _ in range(same)]
        self.start()

    def fresh(self):
        return self.rng.integers(0, 256, self.shape, dtype=np.uint8)

    def picture(self):
        return self.fresh() if self.known is None else self.known[self.rng.integers(len(self.known))]

    def start(self):
        """Empty places of the first stack are black, or filled with the first picture."""
        first = self.picture()
        pad = first if self.rng.random() < 0.5 else np.zeros_like(first)
        self.stack, self.left = [pad] * (self.depth - 1) + [first], self.rng.integers(1, self.length + 1)

    def obs(self):
        return self.stack[0] if self.axis is None else np.stack(self.stack, self.axis)

    def step(self):
        """Its observation, the true next one, and how the episode ended, if it did."""
        obs = self.obs()
        jump = self.rng.random() < self.jump
        self.stack = [self.picture() for _ in range(self.depth)] if jump else [*self.stack[1:], self.picture()]
        next_obs, end = self.obs(), self.rng.random() < 0.5
        self.left -= 1
        done = self.left == 0
        if done:
            self.start()
        return obs, next_obs, done and end, done and not end


def film_rollouts(rng, kind, n_envs=1, n_workers=1, steps=300, longest=7, as_dict=False, **film):
    """Rollouts of any length of several workers, in any order; rows are numbered by their action."""
    workers = [[Film(rng, kind, **film) for _ in range(n_envs)] for _ in range(n_workers)]
    resets = np.ones((n_workers, n_envs), bool)
    number = 0
    while number < steps:
        worker, length = int(rng.integers(n_workers)), int(rng.integers(1, longest + 1))
        rows = [[env.step() for env in workers[worker]] for _ in range(length)]
        obs, next_obs, terminated, truncated = (np.array([[one[i] for one in row] for row in rows]) for i in range(4))
        action = np.arange(number, number + length * n_envs).reshape(length, n_envs)
        number += action.size
        reset = np.concatenate([resets[worker][None], (terminated | truncated)[:-1]])
        resets[worker] = (terminated | truncated)[-1]
        if as_dict:
            obs, next_obs = ({"camera": part, "speed": action[..., None] * 0.5} for part in (obs, next_obs))
        reward = action * 0.25
        yield Rollout(obs, action, action, reward, next_obs, terminated, truncated, reset, worker=worker)


class Dot(gym.Env):
    """Grey pictures of a dot that the actions move and of a star that is anywhere; 1 for the dot in the middle."""

    observation_space = gym.spaces.Box(0, 255, (40, 40), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(40))
        return self.picture(), {}

    def step(self, action):
        self.place += 4 * (int(action) - 1)
        out = not 0 <= self.place < 40
        return self.picture(), float(15 < self.place < 25), out, False, {}

    def picture(self):
        picture = np.zeros((40, 40), np.uint8)
        picture[18:22, max(self.place - 2, 0) : max(self.place + 2, 0)] = 255
        picture[tuple(self.np_random.integers(40, size=2))] = 100
        return picture

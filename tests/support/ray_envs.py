"""Environments and an algorithm that tell what was done to them; actors import this module by its name."""

import os
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

from algos.policy_gradient.ppo import PPO


class CountingEnv(gym.Env):
    """Observation (number of the episode, t / 100), the number drawn at random; lasts 3 to 20 steps; reward t.

    Episodes of an even length terminate, the others are truncated.
    """

    observation_space = gym.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number, self.t = self.np_random.random(dtype=np.float32), 0
        self.length = int(self.np_random.integers(3, 21))
        return self._obs(), {}

    def step(self, action):
        self.t += 1
        over, even = self.t == self.length, self.length % 2 == 0
        return self._obs(), float(self.t), over and even, over and not even, {}

    def _obs(self):
        return np.array([self.number, self.t / 100], np.float32)


class FragileEnv(CountingEnv):
    """Fails at its step `at`, in the ways that `folder` still has files for: `raise`, `exit` and `hang` in turn.

    Each file is used up by one failure. Without a folder it always raises. One that has raised goes on doing so: a
    rollout may wait at its worker, which begins it before it is replaced.
    """

    def __init__(self, at: int = 1, folder: str | None = None):
        self.at, self.folder, self.steps = at, folder, 0

    def step(self, action):
        self.steps += 1
        if self.steps >= self.at:
            self._fail()
        return super().step(action)

    def _fail(self):
        way = "raise" if self.folder is None else self._next_way()
        if way == "raise":
            self.folder = None
            raise ValueError(f"the gripper is stuck at step {self.steps}")
        if way == "exit":
            os._exit(1)
        if way == "hang":
            time.sleep(3600)

    def _next_way(self):
        for path in sorted(Path(self.folder).iterdir()):
            try:
                path.unlink()
            except FileNotFoundError:  # another worker was faster
                continue
            return path.name.partition("-")[2]
        return None


class UnsureEnv(CountingEnv):
    """Every step from its step `at` on fails, without a word."""

    def __init__(self, at: int):
        self.at, self.steps = at, 0

    def step(self, action):
        self.steps += 1
        assert self.steps < self.at
        return super().step(action)


class SlowEnv(CountingEnv):
    """A step takes `seconds`, all of it waiting; from when to when is in a file of the process's, in `folder`."""

    def __init__(self, folder: str, seconds: float = 0.01):
        self.path, self.seconds = Path(folder) / str(os.getpid()), seconds

    def step(self, action):
        begin = time.monotonic()
        time.sleep(self.seconds)
        with self.path.open("a") as file:
            print(begin, time.monotonic(), file=file)
        return super().step(action)


class WatchedPPO(PPO):
    """PPO that takes its time, and knows with how many sets of weights a batch was collected and how old they are."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        act, net = self.policy.act, self.policy.net

        def watched(obs, state, **how):
            action, extras, state = act(obs, state, **how)
            mark = sum(value.double().abs().sum() for value in net.state_dict().values())
            return action, {**extras, "mark": np.full(len(action), float(mark))}, state

        self.policy.act = watched
        self.marks = [self._mark()]

    def _mark(self):
        return float(np.float32(sum(value.double().abs().sum() for value in self.net.state_dict().values())))

    def learn(self, batch):
        found = sorted(set(batch.extras["mark"].flatten().tolist()))
        behind = len(self.marks) - 1 - self.marks.index(found[0]) if found[0] in self.marks else -1
        output = super().learn(batch)
        time.sleep(0.15)
        self.marks.append(self._mark())
        seen = {"train/versions": torch.tensor(float(len(found))), "train/lessons_behind": torch.tensor(float(behind))}
        output.metrics = {**output.metrics, **seen}
        return output

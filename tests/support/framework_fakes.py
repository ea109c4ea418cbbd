"""Small stand-ins that the tests of the runner share."""

import csv

import gymnasium as gym
import numpy as np
import torch

from algos.base import Policy
from envs.resuming.resumable import Resumable
from envs.vectors.stepped import SyncVector

SMALL = {"layer_type": "linear", "layer_size": 8, "activation": "tanh"}
DQN = {
    "algo": "DQN", "value_layers": [SMALL], "batch_size": 8, "model_save_fre": 20, "online_eval_episode": 2,
    "max_step": 30, "max_env_step": 100, "save_fig": False, "progress": "off", "log_interval": 7,
}  # fmt: skip
PPO = {
    "algo": "PPO", "actor_layers": [SMALL], "critic_layers": [SMALL], "n_steps": 8, "n_epochs": 2, "batch_size": 16,
    "model_save_fre": 4, "online_eval_episode": 2, "max_step": 30, "max_env_step": 100, "save_fig": False,
    "progress": "off", "log_interval": 3,
}  # fmt: skip


class CountEnv(gym.Env):
    """Observation (row, episode, t); episodes last `lengths` in turn, odd ones end by truncation, even ones terminate.

    The reward is the action.
    """

    observation_space = gym.spaces.Box(-1e6, 1e6, (3,), np.float32)
    action_space = gym.spaces.Discrete(1000)

    def __init__(self, row=0, lengths=(3,)):
        self.row, self.lengths, self.episode, self.t, self.seeds = row, lengths, -1, 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.seeds.append(seed)
        self.episode, self.t = self.episode + 1, 0
        return self.obs(), {}

    def step(self, action):
        self.t += 1
        over, odd = self.t == self.lengths[self.episode % len(self.lengths)], self.episode % 2 == 1
        return self.obs(), float(action), over and not odd, over and odd, {}

    def obs(self):
        return np.array([self.row, self.episode, self.t], np.float32)


class CountPolicy(Policy):
    """Its state counts the steps since the last reset; the action is that count (plus noise when exploring)."""

    def __init__(self, recurrent=True, values=True, noisy=False):
        super().__init__(torch.nn.Linear(1, 1))
        self.recurrent, self.values, self.noisy, self.steps = recurrent, values, noisy, []

    def init_state(self, n):
        return torch.zeros(n) if self.recurrent else ()

    def value(self, obs, state):
        """What `act` and `bootstrap` say of a state: known in closed form."""
        return obs @ np.array([1e4, 1e2, 1.0], np.float32) + (state.numpy() * 0.5 if self.recurrent else 0)

    def act(self, obs, state, *, explore, step):
        self.steps.append(step)
        action = state.numpy().astype(np.int64) if self.recurrent else np.zeros(len(obs), np.int64)
        if self.noisy and explore:
            action = action + torch.randint(100, (len(obs),), generator=self.generator).numpy()
        extras = {"value": self.value(obs, state)} if self.values else {}
        return action, extras, state + 1 if self.recurrent else ()

    def bootstrap(self, obs, state):
        return self.value(obs, state) if self.values else None


def count_envs(*lengths):
    """A vector of CountEnvs, one for each tuple of lengths."""
    makers = [lambda row=row, own=own: Resumable(CountEnv(row, own)) for row, own in enumerate(lengths)]
    return SyncVector(makers)


def rows(experiment, name):
    """Rows of a table in the folder of an experiment that has run."""
    with (experiment.folder.results / name).open() as file:
        return list(csv.DictReader(file))

"""Batches and algorithms for the tests of the tables."""

import numpy as np
import torch
from gymnasium import spaces

from algos.data import Batch


def make(kind, states=3, actions=2, *, obs_space=None, seed=1, total_steps=None, start=0, model=None, **settings):
    """An algorithm on a small space; `settings` are those of its config."""
    extra = {} if model is None else {"model": model}
    return kind(
        kind.Config(**settings),
        obs_space or spaces.Discrete(states),
        spaces.Discrete(actions, start=start),
        seed=seed,
        total_steps=total_steps,
        **extra,
    )


def rows(*transitions, step=0, reset=None, envs=1):
    """A rollout [T, N] of (s, a, r, s', terminated, truncated); `envs` neighbours are of one moment."""
    columns = [np.array(column).reshape(-1, envs) for column in zip(*transitions, strict=True)]
    obs, action, reward, next_obs, terminated, truncated = columns
    return Batch(
        torch.from_numpy(obs),
        torch.from_numpy(action),
        torch.from_numpy(reward.astype(np.float32)),
        torch.from_numpy(next_obs),
        torch.from_numpy(terminated.astype(bool)),
        torch.from_numpy(truncated.astype(bool)),
        reset=None if reset is None else torch.tensor(reset).reshape(-1, envs),
        step=step,
    )


def with_q(algorithm, *values):
    """The algorithm with these values of each state's actions in its table."""
    algorithm.table.array[:] = values
    return algorithm

"""Made-up streams of steps, for the tests of what is made from rollouts."""

import numpy as np

from framework.data.rollout import Rollout


def stream(rng, steps, n_envs, worker=0):
    """A worker's stream of steps, numbered, with ends of both kinds."""
    number = np.arange(steps * n_envs).reshape(steps, n_envs) + 1000 * worker
    end = rng.random((steps, n_envs))
    terminated, truncated = end < 0.15, end > 0.85
    reset = np.ones_like(terminated)
    reset[1:] = (terminated | truncated)[:-1]
    obs = number[..., None].astype(np.float32)
    reward = rng.normal(size=(steps, n_envs))
    return Rollout(obs, number, number, reward, -obs, terminated, truncated, reset, worker=worker)


def cut(rollout, start, stop):
    part = {name: column[start:stop] for name, column in vars(rollout).items() if isinstance(column, np.ndarray)}
    return Rollout(**part, worker=rollout.worker)

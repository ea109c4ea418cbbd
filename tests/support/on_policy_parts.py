"""What the tests of A2C and of the on-policy base share: a small A2C, random rollouts."""

import numpy as np
import torch
from gymnasium import spaces

from algos.data import Batch
from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.config import A2CConfig

torch.set_num_threads(1)  # small networks
BOX, TWO = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)


def make(action_space=TWO, obs_space=BOX, seed=1, total_steps=None, **settings):
    return A2C(A2CConfig(**settings), obs_space, action_space, seed=seed, total_steps=total_steps)


def rollout(algorithm, generator, n_steps=5, n_envs=4):
    """Random columns; the second environment is cut in the middle, the third ends."""

    def normal(*shape):
        return torch.randn(n_steps, n_envs, *shape, generator=generator)

    space, wide = algorithm.action_space, normal(2)
    action = (wide > 0).long() if space.shape else (wide[..., 0] > 0).long()
    if isinstance(space, spaces.Box):
        action = wide
    terminated, truncated = (torch.zeros(n_steps, n_envs, dtype=torch.bool) for _ in range(2))
    truncated[2, 1] = terminated[2, 2] = True
    reset = torch.roll(terminated | truncated, 1, 0)
    value, beyond = normal(), normal()
    next_value = torch.where(truncated, beyond, torch.cat([value[1:], beyond[-1:]]))
    extras = {"log_prob": normal(), "value": value, "next_value": next_value}
    columns = normal(4), action, normal(), normal(4), terminated, truncated
    return Batch(*columns, extras, reset, algorithm.policy.init_state(n_envs))

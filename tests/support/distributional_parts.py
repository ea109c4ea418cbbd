"""What the tests of the distributional value methods share: small algorithms, random batches."""

import numpy as np
import torch
from gymnasium import spaces

from algos.data import Batch
from algos.value.c51 import C51

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (2,), np.float32)
SMALL = [{"layer_type": "linear", "layer_size": 8}]


def make(kind, seed=1, **settings):
    return kind(kind.Config(**{"value_layers": SMALL, **settings}), BOX, spaces.Discrete(3), seed=seed)


def batch_of(n=6, seed=0, **extras):
    generator = torch.Generator().manual_seed(seed)
    obs, next_obs = (torch.randn(n, 2, generator=generator) for _ in range(2))
    action, reward = torch.randint(3, (n,), generator=generator), torch.randn(n, generator=generator)
    flags = (torch.rand(n, generator=generator) < 0.4 for _ in range(2))
    return Batch(obs, action, reward, next_obs, *flags, extras=extras)


def loss_of(algorithm, batch, discount=None, weight=None):
    rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    return algorithm.loss(*rows, discount, weight)


def c51(n_atoms=5, v_min=0.0, v_max=4.0, kind=C51, **settings):
    return make(kind, n_atoms=n_atoms, v_min=v_min, v_max=v_max, **settings)

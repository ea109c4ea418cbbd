"""What the tests of the offline methods share: small algorithms, of each kind of actions that one has, and batches."""

import torch
from replay_parts import BOX, OBS, SMALL, THREE, random_batch

from algos.registry import get_algorithm, get_config_class

__all__ = ["KINDS", "make", "random_batch"]

torch.set_num_threads(1)  # small networks
KINDS = [
    ("TD3_BC", BOX),
    ("IQL", BOX),
    ("IQL", THREE),
    ("CQL", BOX),
    ("CQL_D", THREE),
    ("BCQ", BOX),
    ("BCQ_D", THREE),
]  # name, actions
ENCODER = ("branch_layers", "merge_layers", "dueling_layers")


def make(name, space=None, *, obs_space=OBS, seed=1, **settings):
    """An algorithm with small networks."""
    config = get_config_class(name)
    layers = {key: SMALL for key in vars(config()) if key.endswith("_layers") and key not in ENCODER}
    cfg = config(**{**layers, "gamma": 0.9, **settings})
    return get_algorithm(name)(cfg, obs_space, space or dict(KINDS[::-1])[name], seed=seed)

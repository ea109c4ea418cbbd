"""What the tests of HybridSAC share: small robots, random rows of them, the grasp critic in NumPy."""

import numpy as np
import torch
from gymnasium import spaces
from replay_parts import SMALL, linear_of, mlp

from algos.data import Batch
from algos.registry import get_algorithm, get_config_class


def state_space(hands=1):
    """x, y, z and the opening of each hand."""
    return spaces.Box(np.tile(np.float32([-1, -1, 0, 0]), hands), np.tile(np.float32([1, 1, 1, 1]), hands))


def robot(hands=1, motion=3, *, learned=True, obs_space=None, seed=1, name="HybridSAC", **settings):
    """An algorithm whose networks are of one small layer."""
    mode = f"{('single', 'dual')[hands - 1]}-arm-{('fixed', 'learned')[learned]}-gripper"
    layers = {"actor_layers": SMALL, "critic_layers": SMALL}
    own = {"grasp_layers": SMALL, "setup_mode": mode} if name == "HybridSAC" else {}
    cfg = get_config_class(name)(**{**layers, **own, "gamma": 0.9, **settings})
    box = spaces.Box(-1, 1, (hands * (motion + learned),), np.float32)
    return get_algorithm(name)(cfg, obs_space or state_space(hands), box, seed=seed)


def rows(algorithm, n=32, seed=0):
    """Random rows in which commands and openings of all kinds occur."""
    draw = np.random.default_rng(seed)
    space = algorithm.obs_space

    def states():
        return torch.from_numpy(draw.uniform(space.low, space.high, (n, *space.shape)).astype(np.float32))

    action = torch.from_numpy(draw.uniform(-1, 1, (n, *algorithm.action_space.shape)).astype(np.float32))
    reward = torch.from_numpy(draw.normal(size=n).astype(np.float32))
    return Batch(states(), action, reward, states(), torch.from_numpy(draw.random(n) < 0.3), torch.zeros(n).bool())


def grasp_values(critic, obs):
    """Q values of the grasp actions in NumPy [B, K]."""
    return mlp(linear_of(critic.heads[0]), obs)

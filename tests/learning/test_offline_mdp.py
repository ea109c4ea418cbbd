"""A chain of five states whose data hide the best policy among bad actions: offline methods find it, cloning does not.

In each state of the chain, but the last, three or four of five actions go to the left, the others to the right, where
the reward is.
"""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.data import Batch
from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
STATES, ROWS = 5, 50  # rows of each state
OBS = spaces.Box(0, 1, (STATES,), np.float32)
BOX, THREE = spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(3)
LEFT, RIGHT = 0, 1  # a third action is never taken in the data
LAYERS = [{"layer_type": "linear", "layer_size": 32, "activation": "relu"}]
FAST = {"actor_lr": 3e-3, "critic_lr": 3e-3, "alpha_lr": 3e-3, "lr": 3e-3, "tau": 0.05}
METHODS = [
    ("TD3_BC", BOX, {"alpha": 10.0}),
    ("IQL", BOX, {"reward_scale": 10.0, "expectile": 0.9}),
    (
        "CQL",
        BOX,
        {"conservative_weight": 0.2, "n_samples": 4, "alpha": 0.05, "auto_alpha": False, "reward_scale": 10.0},
    ),
    ("BCQ", BOX, {"n_samples": 20, "target_samples": 5, "phi": 0.3, "n_right": 2}),
    ("IQL", THREE, {"reward_scale": 10.0, "expectile": 0.9}),
    ("CQL_D", THREE, {"conservative_weight": 0.1}),
    ("BCQ_D", THREE, {"threshold": 0.15}),
]


def data(space, n_right=1):
    """All rows as one batch: to the left by 0 or about -0.5, to the right by 1 or about 0.8; the last state ends.

    Of five actions in a state `n_right` go to the right; BCQ's latents leave out what is rarer than a third.
    """
    rng = np.random.default_rng(0)
    state = np.repeat(np.arange(STATES - 1), ROWS)
    right = np.tile(np.arange(ROWS) % 5 < n_right, STATES - 1)
    after = np.where(right, state + 1, np.maximum(state - 1, 0))
    ends = after == STATES - 1
    action = right.astype(np.int64)
    if space is BOX:
        action = (np.where(right, 0.8, -0.5) + rng.uniform(-0.1, 0.1, len(state))).astype(np.float32)[:, None]
    obs, next_obs = np.eye(STATES, dtype=np.float32)[state], np.eye(STATES, dtype=np.float32)[after]
    columns = (obs, action, ends.astype(np.float32), next_obs, ends, np.zeros_like(ends))
    return Batch(*map(torch.from_numpy, columns))


def greedy(name, space, updates=300, n_right=1, **settings):
    """The greedy actions in the four states that have one."""
    config = get_config_class(name)
    keys = vars(config())
    layers = {key: LAYERS for key in ("actor_layers", "critic_layers", "value_layers", "vae_layers") if key in keys}
    fast = {key: value for key, value in FAST.items() if key in keys}
    if "gamma" in keys:
        fast["gamma"] = 0.8
    algorithm = get_algorithm(name)(config(**{**layers, **fast, **settings}), OBS, space, seed=1)
    batch = data(space, n_right)
    algorithm.take_statistics([batch.obs])
    for _ in range(updates):
        algorithm.learn(batch)
    obs = np.eye(STATES, dtype=np.float32)[:-1]
    action, _, _ = algorithm.policy.act(obs, algorithm.policy.init_state(4), explore=False, step=0)
    return algorithm.policy.env_action(action).reshape(4)


@pytest.mark.parametrize(("name", "space", "settings"), METHODS)
def test_offline_methods_find_the_hidden_policy(name, space, settings):
    action = greedy(name, space, **settings)
    assert (action == RIGHT).all() if space is THREE else (action > 0.5).all()


@pytest.mark.parametrize(("space", "loss"), [(BOX, "mse"), (BOX, "nll"), (THREE, "nll")])
def test_cloning_does_what_the_data_do_most(space, loss):
    action = greedy("BC", space, loss=loss)
    assert (action == LEFT).all() if space is THREE else (action < 0).all()

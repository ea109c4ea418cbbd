"""200 updates as graphs against 200 eager ones, of every algorithm with an optimiser whose networks carry no state.

The graphs are traced and run operation by operation; with `slow` they are turned into machine code as in a run.
What carries state (DRQN, recurrent layers) is not compiled: `compile=true` is refused, `auto` leaves it eager.
"""

import functools
import shutil

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.optim import Optimizer
from algos.data import Batch
from algos.registry import ALGORITHMS, get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
OBS, TWO, BOX = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), spaces.Box(-1, 1, (2,), np.float32)
LAYERS = [{"layer_type": "linear", "layer_size": 16}]
UPDATES = 200
EAGER = {"DRQN"}  # carry state


def has_compile(name):
    return hasattr(get_config_class(name)(), "compile")


NAMES = [*sorted(name for name in set(ALGORITHMS) - EAGER if has_compile(name)), "IQL of a Box"]


def make(name, compile):
    name, _, box = name.partition(" ")
    config = get_config_class(name)
    layers = {
        key: LAYERS
        for key in ("value_layers", "actor_layers", "critic_layers", "vae_layers", "discriminator_layers")
        if hasattr(config(), key)
    }
    rates = {
        key: 1e-4 for key in ("lr", "actor_lr", "critic_lr", "alpha_lr", "discriminator_lr") if hasattr(config(), key)
    }
    shorter = {"n_epochs": 1, "batch_size": 32} if hasattr(config(), "n_epochs") else {}
    kind = get_algorithm(name)
    space = TWO if spaces.Discrete in kind.action_spaces and not box else BOX
    algorithm = kind(config(**layers, **rates, **shorter, compile=compile), OBS, space, seed=1)
    if algorithm.needs_demos:
        algorithm.take_demos(batch_of(algorithm, torch.Generator().manual_seed(1), rollout=False))
    return algorithm


def batch_of(algorithm, generator, rollout=None):
    """Random rows [32], or a rollout [8, 4]."""

    def normal(*shape):
        return torch.randn(32, *shape, generator=generator)

    discrete = isinstance(algorithm.action_space, spaces.Discrete)
    action = (normal() > 0).long() if discrete else normal(2).tanh()
    terminated = normal() > 1
    columns = [normal(4), action, normal(), normal(4), terminated, torch.zeros(32, dtype=torch.bool)]
    spec = algorithm.data(algorithm.cfg)
    if not (spec.on_policy if rollout is None else rollout):
        extras = {"weight": normal().abs(), "discount": normal().sigmoid()} if spec.prioritized else {}
        return Batch(*columns, extras | dict.fromkeys(spec.extras, action))  # a label is an action too
    extras = {"log_prob": -normal().abs(), "value": normal(), "next_value": normal()}
    columns, extras = [c.unflatten(0, (8, 4)) for c in columns], {k: v.unflatten(0, (8, 4)) for k, v in extras.items()}
    reset = torch.zeros(8, 4, dtype=torch.bool)
    reset[0] = True
    columns[4][-1] = True  # whole episodes, for who learns from those
    return Batch(*columns, extras, reset)


def agree(name):
    eager, graph = make(name, False), make(name, True)
    ours, theirs = (torch.Generator().manual_seed(0) for _ in range(2))
    for _ in range(UPDATES):
        one, other = eager.learn(batch_of(eager, ours)), graph.learn(batch_of(graph, theirs))
        if one.priorities is not None:
            assert not other.priorities.requires_grad
            torch.testing.assert_close(other.priorities, one.priorities, rtol=1e-4, atol=1e-5)
    assert other.metrics.keys() == one.metrics.keys()
    graphs = [one.graphs for one in vars(graph).values() if isinstance(one, Optimizer)]
    assert any(one.functions for one in graphs) and all(one.on for one in graphs if one.functions)  # none fell back
    for one, other in zip(eager.policy.net.parameters(), graph.policy.net.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_graphs_learn_what_eager_updates_learn(name, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(shutil, "which", lambda name: name)  # no C++ compiler is asked for
    agree(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_machine_code_learns_what_eager_updates_learn(name):
    agree(name)

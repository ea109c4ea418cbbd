"""Every value method's update is one graph that equals the eager one (traced, not turned into machine code)."""

import functools
import shutil

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.base import Batch
from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
LAYERS = [{"layer_type": "linear", "layer_size": 8}]


def batch_of(generator, rollout, n=16):
    def normal(*shape):
        return torch.randn(n, *shape, generator=generator)

    columns = [normal(4), (normal() > 0).long(), normal(), normal(4), normal() > 1, normal() > 1]
    if rollout:
        return Batch(*(column.unflatten(0, (4, -1)) for column in columns))
    extras = {"weight": torch.rand(n, generator=generator), "discount": torch.rand(n, generator=generator)}
    return Batch(*columns, extras=extras)


@pytest.mark.parametrize("name", ["C51", "QRDQN", "RainbowDQN", "SoftQ", "PQN"])
def test_a_graph_learns_what_eager_calls_learn(name, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(shutil, "which", lambda name: name)  # no C++ compiler is asked for
    kind, config, space = get_algorithm(name), get_config_class(name), spaces.Box(-1, 1, (4,), np.float32)
    eager, graph = (
        kind(config(value_layers=LAYERS, lr=1e-2, compile=flag), space, spaces.Discrete(2), seed=1)
        for flag in (False, True)
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        batch = batch_of(generator, rollout=name == "PQN")
        one, other = eager.learn(batch), graph.learn(batch)
        for metric in ("train/td_loss", "train/mean_q"):
            torch.testing.assert_close(other.metrics[metric], one.metrics[metric], rtol=1e-4, atol=1e-5)
        if one.priorities is not None:
            assert not other.priorities.requires_grad
            torch.testing.assert_close(other.priorities, one.priorities, rtol=1e-4, atol=1e-5)

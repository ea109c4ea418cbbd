"""Layers of the user's own, named by a dotted path: what they are told, what they must give, and where they go."""

import re
import sys
import types

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.errors import UserError
from algos.networks.builder import build_head_stack, build_network
from algos.networks.memory import StatefulLayer
from algos.networks.spec import any_carries_state, parse_layers

IMAGE = spaces.Box(0, 255, (12, 10, 3), np.uint8)


class Residual(nn.Module):
    def __init__(self, in_features, hidden=8):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(in_features, hidden), nn.Dropout(0.5), nn.Linear(hidden, in_features))

    def forward(self, x):
        return x + self.inner(x)


class Table(nn.Module):
    """Rows of an image, joined."""

    def __init__(self, shape, scale=1.0):
        super().__init__()
        self.shape, self.scale = shape, scale

    def forward(self, x):
        return self.scale * x.sum(1)


class Sum(StatefulLayer):
    """The sum of all that an episode has shown."""

    def init_state(self, batch_size):
        return torch.zeros(batch_size, 3)

    def forward(self, x, state, reset):
        out = []
        for t in range(x.shape[1]):
            state = state.masked_fill(reset[:, t, None], 0.0) + x[:, t]
            out.append(state)
        return torch.stack(out, 1), state


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = nn.Dropout(0.5).eval()

    def forward(self, x):
        return self.part(x)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Mean(nn.Module):
    def forward(self, x):
        return x.mean()


def make_sum():
    return Sum()


@pytest.fixture(autouse=True)
def mine(monkeypatch):
    module = types.ModuleType("mine_own")
    for item in (Residual, Table, Sum, Frozen, Pair, Mean, make_sum):
        setattr(module, item.__name__, item)
    module.NUMBER = 3
    monkeypatch.setitem(sys.modules, "mine_own", module)


def own(name, **settings):
    return {"layer_type": f"mine_own:{name}", **settings}


def test_a_layer_is_told_its_features_and_asked_for_those_it_gives():
    layers = [{"layer_type": "linear", "layer_size": 6}, own("Residual", hidden=4), own("Residual")]
    network = build_head_stack(5, layers, 2, "x")
    residuals = [module for module in network.modules() if isinstance(module, Residual)]
    sizes = [(layer.inner[0].in_features, layer.inner[0].out_features) for layer in residuals]
    assert sizes == [(6, 4), (6, 8)] and network.body[-1].in_features == 6 and network.has_dropout
    assert network(torch.zeros(7, 5)).shape == (7, 2)
    assert all(module.training for module in network.modules())


def test_an_image_is_flattened_for_features():
    network = build_network(spaces.Box(-1, 1, (2, 3), np.float32), [own("Residual")], out_features=4)
    assert network(torch.zeros(5, 2, 3)).shape == (5, 4) and network.out_features == 4


@pytest.mark.parametrize(
    ("layer", "width"),
    [
        ({"layer_type": "torch.nn.Conv2d", "out_channels": 2, "kernel_size": 3}, 2 * 10 * 8),
        (own("Table", scale=2.0), 12 * 10),
    ],
)
def test_an_image_is_an_image_for_channels_and_shapes(layer, width):
    network = build_network(IMAGE, [layer], out_features=3)
    assert network.body[-1].in_features == width and len(network.body) == 3  # the layer, flatten, the head
    assert network(torch.zeros(2, 12, 10, 3, dtype=torch.uint8)).shape == (2, 3)
    table = next((module for module in network.modules() if isinstance(module, Table)), None)
    assert table is None or (table.shape, table.scale) == ((3, 12, 10), 2.0)


def test_a_size_that_the_config_sets_stands_and_settings_alone_will_do():
    layers = [{"layer_type": "torch.nn:Linear", "in_features": 5, "out_features": 3}, {"layer_type": "torch.nn:PReLU"}]
    assert build_head_stack(5, layers, None, "x").out_features == 3


def test_the_trial_draws_nothing_and_leaves_the_mode_alone():
    torch.manual_seed(3)
    plain = build_head_stack(5, [{"layer_type": "linear", "layer_size": 5}], 2, "x")
    drawn = torch.rand(3)
    torch.manual_seed(3)
    framed = build_head_stack(5, [own("Frozen"), {"layer_type": "linear", "layer_size": 5}, own("Frozen")], 2, "x")
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(plain.body[0].weight, framed.body[1].weight)
    assert framed.body[0].training and not framed.body[0].part.training


def test_a_layer_with_memory():
    assert any_carries_state([own("Sum")]) and not any_carries_state([own("Residual")], [own("Nothing")])
    network = build_head_stack(3, [own("Sum")], None, "x")
    assert network.recurrent and network.out_features == 3
    reset = torch.tensor([[True, False, True]])
    y, _ = network.unroll(torch.ones(1, 3, 3), network.init_state(1), reset)
    assert y[0, :, 0].tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (own("Residul"), "x[0].layer_type=mine_own:Residul: module 'mine_own' has no 'Residul'; did you mean 'Resid"),
        ({"layer_type": "no.such:Layer"}, "x[0].layer_type=no.such:Layer: no module named 'no'"),
        (own("NUMBER"), "x[0].layer_type=mine_own:NUMBER must be a class, not a value of type int"),
        (own("Residual", hiden=3), "x[0] (mine_own:Residual) has no parameter 'hiden'; did you mean 'hidden'?"),
        ({"layer_type": "torch.nn:Linear"}, "x[0] (torch.nn:Linear) needs the parameter 'out_features'"),
        ({"layer_type": "builtins:dict"}, "x[0].layer_type: builtins:dict is not a subclass of torch.nn.Module"),
        (
            {"layer_type": "torch.nn:Linear", "out_features": float("inf")},
            "x[0]: torch.nn:Linear does not take {'in_features': 5, 'out_features': inf}: empty(): argument 'size'",
        ),
        (
            own("Pair"),
            "x[0].layer_type: mine_own:Pair returned a tuple for one of (1, 5); the number of rows must stay the same",
        ),
        (
            own("Mean"),
            "x[0].layer_type: mine_own:Mean returned a tensor () for one of (1, 5); the number of rows must stay",
        ),
        (own("make_sum"), "x[0].layer_type: mine_own:make_sum is not a subclass of torch.nn.Module"),
        (
            {"layer_type": "torch.nn:Conv2d", "out_channels": 2, "kernel_size": 1},
            "x[0]: torch.nn:Conv2d takes an image (channels x height x width), but gets a vector of 5",
        ),
    ],
)
def test_a_mistake_is_told_in_a_line_with_its_place(layer, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}"):
        build_head_stack(5, [layer], None, "x")


def test_what_the_specs_hold():
    (spec,) = parse_layers([own("Residual", hidden=2)], "x")
    assert (spec.kind, spec.settings, spec.takes_images) == (Residual, {"hidden": 2}, False)


def test_nothing_but_a_module_is_called(tmp_path):
    place = tmp_path / "made"
    for kind, settings in (("os:mkdir", {"path": str(place)}), ("pathlib:Path.mkdir", {"self": place})):
        with pytest.raises(UserError):
            build_head_stack(5, [{"layer_type": kind, **settings}], None, "x")
    assert not place.exists()

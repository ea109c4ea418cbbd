"""Ready-made classes have the layers, and with one seed the weights, of the lists that they stand for."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.errors import UserError
from algos.networks.builder import build_network
from algos.networks.ready_made import CNNActor, CNNCritic, MLPActor, MLPCritic

BOX, TWO = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)
ACTION = spaces.Box(-1, 1, (3,), np.float32)
ATARI = spaces.Box(0, 255, (84, 84, 4), np.uint8)


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def after_seed(make, *args, **kwargs):
    torch.manual_seed(5)
    return make(*args, **kwargs)


def test_an_mlp_is_its_list():
    layers = [{"layer_type": "linear", "layer_size": [8, 6], "activation": "tanh"}]
    actor = after_seed(MLPActor, BOX, TWO, hidden_dims=[8, 6], activation="tanh")
    assert same(actor, after_seed(build_network, BOX, layers, out_features=2))
    critic = after_seed(MLPCritic, BOX, TWO, hidden_dims=(8, 6), activation="tanh")
    assert same(critic, after_seed(build_network, BOX, layers, out_features=1))
    assert actor.has_head and not actor.recurrent


def test_layer_norm_stands_before_each_activation():
    kinds = [type(layer) for layer in MLPActor(BOX, TWO, hidden_dims=[8, 6], layer_norm=True).body]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.ELU] * 2 + [nn.Linear]


def test_defaults_and_sizes():
    assert [tuple(weight.shape) for weight in MLPActor(BOX, ACTION).parameters() if weight.dim() == 2] == [
        (256, 4), (256, 256), (3, 256),
    ]  # fmt: skip
    assert MLPActor(BOX, ACTION, out_features=6)(torch.zeros(5, 4)).shape == (5, 6)
    assert len(MLPActor(BOX, TWO, hidden_dims=[]).body) == 1 and len(MLPActor(BOX, TWO, hidden_dims=7).body) == 3


def test_a_critic_of_actions_joins_them():
    critic, obs, action = (
        MLPCritic(BOX, ACTION, hidden_dims=[8], with_action=True),
        torch.randn(5, 4),
        torch.randn(5, 3),
    )
    y = critic(obs, action)
    assert y.shape == (5, 1) and torch.equal(y, critic((obs, action)))
    assert torch.equal(y, critic.body(torch.cat([obs, action], 1)))


def test_convolutions_by_the_image_or_as_given():
    actor = after_seed(CNNActor, ATARI, TWO)
    layers = [
        {"layer_type": "conv2d", "out_channel": out, "kernel_size": kernel, "stride": stride}
        for out, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1))
    ]
    whole = [*layers, {"layer_type": "linear", "layer_size": 512}]
    assert same(actor, after_seed(build_network, ATARI, whole, out_features=2))
    small = spaces.Box(0, 1, (1, 12, 12), np.float32)
    critic = CNNCritic(small, ACTION, hidden_dims=[16], with_action=True)
    assert critic(torch.rand(5, 1, 12, 12), torch.rand(5, 3)).shape == (5, 1)
    given = CNNCritic(small, TWO, conv_channels=[7], conv_kernels=[5], conv_strides=[3], out_features=4)
    assert given.body[0].weight.shape == (7, 1, 5, 5) and given(torch.rand(5, 1, 12, 12)).shape == (5, 4)


def test_what_cannot_be_built():
    with pytest.raises(UserError, match=r"CNNActor takes an image, .* not Box \(4,\)"):
        CNNActor(BOX, TWO)
    with pytest.raises(UserError, match="must have the same length"):
        CNNCritic(ATARI, TWO, conv_channels=[8, 8])
    with pytest.raises(UserError, match=r"MLPActor\[0\].activation='rlu': choose from .*did you mean 'relu'"):
        MLPActor(BOX, TWO, activation="rlu")

"""Memoryless layers: shapes, values, gradients, noise."""

import math

import pytest
import torch

from algos.common.errors import UserError
from algos.networks.keys import ACTIVATIONS
from algos.networks.layers import NarrowLinear, NoisyLinear, has_modes, linear_layer, make_layer
from algos.networks.spec import parse_layers


def build(layer, shape):
    modules, shape = make_layer(parse_layers([layer], "algo_cfg.layers")[0], shape)
    return torch.nn.Sequential(*modules), shape


def linear(size, **more):
    return {"layer_type": "linear", "layer_size": size, **more}


SHAPES = [
    (linear(5), (3,), (5,)),
    (linear([7, 5]), (3,), (5,)),
    (linear(5), (3, 4, 4), (5,)),
    (linear(5) | {"layer_type": "noisy_linear"}, (3,), (5,)),
    ({"layer_type": "conv2d", "out_channel": 6, "kernel_size": 3}, (3, 8, 10), (6, 6, 8)),
    (
        {"layer_type": "conv2d", "out_channel": 6, "kernel_size": [3, 2], "stride": 2, "padding": 1},
        (3, 8, 9),
        (6, 4, 5),
    ),
    ({"layer_type": "pooling", "pooling_type": "max2d", "kernel_size": 2}, (3, 9, 8), (3, 4, 4)),
    (
        {"layer_type": "pooling", "pooling_type": "avg", "kernel_size": 3, "stride": 1, "padding": 1},
        (3, 9, 8),
        (3, 9, 8),
    ),
    ({"layer_type": "flatten"}, (3, 9, 8), (216,)),
    ({"layer_type": "none"}, (3, 9, 8), (3, 9, 8)),
    ({"layer_type": "dropout", "p": 0.5}, (3,), (3,)),
    ({"layer_type": "norm", "norm_type": "layer"}, (6,), (6,)),
    ({"layer_type": "norm", "norm_type": "rms"}, (6, 3, 3), (6, 3, 3)),
    ({"layer_type": "norm", "norm_type": "group", "n_groups": 2, "activation": "relu"}, (6, 3, 3), (6, 3, 3)),
    ({"layer_type": "norm", "norm_type": "group", "n_groups": 3}, (6,), (6,)),
]


@pytest.mark.parametrize(("layer", "shape", "expected"), SHAPES)
def test_shape_is_foretold(layer, shape, expected):
    net, foretold = build(layer, shape)
    assert foretold == expected
    assert net(torch.randn(2, *shape)).shape == (2, *expected)


def test_embedding_shape_and_values():
    net, shape = build({"layer_type": "embed", "embedding_dim": 4, "n_embeddings": 9}, ())
    assert shape == (4,)
    y = net(torch.tensor([8, 0]))
    assert torch.equal(y, net[0].weight[[8, 0]])


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (
            {"layer_type": "conv2d", "out_channel": 6, "kernel_size": 3},
            (5,),
            "algo_cfg.layers[0]: conv2d takes an image (channels x height x width), but gets a vector of 5",
        ),
        (
            {"layer_type": "conv2d", "out_channel": 6, "kernel_size": 8, "padding": 1},
            (3, 9, 5),
            "algo_cfg.layers[0].kernel_size: 8 x 8 is larger than the image 9 x 5 (padding 1 x 1)",
        ),
        (
            {"layer_type": "conv2d", "out_channel": 6, "kernel_size": 3, "in_channel": 4},
            (3, 9, 5),
            "algo_cfg.layers[0].in_channel: is 4, but the image has 3 channels",
        ),
        (
            {"layer_type": "pooling", "pooling_type": "max", "kernel_size": 3},
            (3, 9, 2),
            "algo_cfg.layers[0].kernel_size: 3 x 3 is larger than the image 9 x 2",
        ),
        (
            {"layer_type": "norm", "norm_type": "group", "n_groups": 4},
            (6, 3, 3),
            "algo_cfg.layers[0].n_groups: is 4, which does not divide an image 6 x 3 x 3",
        ),
        ({"layer_type": "embed", "embedding_dim": 4}, (), "algo_cfg.layers[0].n_embeddings: missing"),
    ],
)
def test_layer_that_does_not_fit(layer, shape, text):
    with pytest.raises(UserError) as error:
        build(layer, shape)
    assert text in str(error.value)


def test_activations_by_hand():
    x = torch.tensor([[-2.0, 0.0, 1.0]])
    expected = {
        "relu": [0.0, 0.0, 1.0],
        "leaky_relu": [-0.02, 0.0, 1.0],
        "tanh": [math.tanh(-2), 0.0, math.tanh(1)],
        "sigmoid": [1 / (1 + math.exp(2)), 0.5, 1 / (1 + math.exp(-1))],
        "elu": [math.exp(-2) - 1, 0.0, 1.0],
        "gelu": [-2 * 0.5 * math.erfc(2 / math.sqrt(2)), 0.0, 1 - 0.5 * math.erfc(1 / math.sqrt(2))],
        "silu": [-2 / (1 + math.exp(2)), 0.0, 1 / (1 + math.exp(-1))],
        "softplus": [math.log1p(math.exp(-2)), math.log(2), math.log1p(math.exp(1))],
        "softmax": [v / (math.exp(-2) + 1 + math.e) for v in (math.exp(-2), 1.0, math.e)],
        "none": [-2.0, 0.0, 1.0],
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        net, _ = build(linear(3, activation=name), (3,))
        with torch.no_grad():
            net[0].weight.copy_(torch.eye(3))
            net[0].bias.zero_()
        torch.testing.assert_close(net(x.clone()), torch.tensor([values]), msg=name)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["layer", "rms", "group"])
def test_gradients_are_right_with_activations_in_place(name, norm):
    torch.manual_seed(0)
    parts = [linear(4, activation=name), {"layer_type": "norm", "norm_type": norm, "activation": name}]
    if norm == "group":
        parts[1]["n_groups"] = 2
    net = torch.nn.Sequential(*[build(part, (4,))[0] for part in parts]).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, x)


def test_activation_leaves_its_input_alone():
    net, _ = build({"layer_type": "norm", "norm_type": "layer", "activation": "relu"}, (4,))
    x = torch.randn(3, 4)
    kept = x.clone()
    net(x)
    assert torch.equal(x, kept)


def test_noisy_evaluates_to_the_mean():
    layer = NoisyLinear(3, 2)
    layer.reset_noise(torch.Generator().manual_seed(0))
    x = torch.randn(4, 3)
    noisy = layer(x)
    layer.eval()
    torch.testing.assert_close(layer(x), x @ layer.weight_mu.T + layer.bias_mu)
    assert not torch.allclose(noisy, layer(x))


def test_noisy_is_resampled_by_its_generator_only():
    layer, x = NoisyLinear(3, 2), torch.randn(4, 3)

    def draws(seed):
        generator, outs = torch.Generator().manual_seed(seed), []
        for _ in range(2):
            layer.reset_noise(generator)
            outs.append(layer(x))
        return torch.stack(outs)

    before = torch.get_rng_state()
    first, again, other = draws(1), draws(1), draws(2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(first, other)
    assert torch.equal(layer(x), layer(x))
    assert "eps_in" not in layer.state_dict()


def test_noisy_by_hand():
    layer = NoisyLinear(2, 1)
    layer.eps_in.copy_(torch.tensor([1.0, -2.0]))
    layer.eps_out.copy_(torch.tensor([3.0]))
    with torch.no_grad():
        layer.weight_mu.copy_(torch.tensor([[1.0, 2.0]]))
        layer.weight_sigma.fill_(0.1)
        layer.bias_mu.fill_(5.0)
        layer.bias_sigma.fill_(0.5)
    # w = [1 + 0.1 * 3, 2 - 0.1 * 6] = [1.3, 1.4], b = 5 + 0.5 * 3 = 6.5
    torch.testing.assert_close(layer(torch.tensor([[1.0, 10.0]])), torch.tensor([[1.3 + 14 + 6.5]]))


def test_noise_has_the_variance_of_the_paper():
    # Var f(e) = E|e| = sqrt(2 / pi), so Var(f(e_i) f(e_j)) = 2 / pi; sigma = 0.5 / sqrt(in_features)
    layer, generator = NoisyLinear(64, 64), torch.Generator().manual_seed(3)
    assert torch.allclose(layer.weight_sigma, torch.tensor(0.5 / 8)) and layer.weight_mu.abs().max() <= 1 / 8
    ins, products = [], []
    for _ in range(500):
        layer.reset_noise(generator)
        ins.append(layer.eps_in.clone())
        products.append(torch.outer(layer.eps_out, layer.eps_in).flatten()[::65])
    assert torch.stack(ins).mean().abs() < 0.02
    assert torch.stack(ins).var().item() == pytest.approx(math.sqrt(2 / math.pi), rel=0.03)
    assert torch.stack(products).var().item() == pytest.approx(2 / math.pi, rel=0.05)


def test_noise_may_be_drawn_between_forward_and_backward():
    layer, generator = NoisyLinear(3, 2), torch.Generator().manual_seed(0)
    layer.reset_noise(generator)
    eps = layer.eps_out.clone()
    y = layer(torch.randn(1, 3)).sum()
    layer.reset_noise(generator)
    y.backward()
    torch.testing.assert_close(layer.bias_sigma.grad, eps)


def test_modules_of_the_users_and_those_of_torch_that_read_their_mode_have_modes():
    class Own(torch.nn.Module):
        pass

    assert all(
        has_modes(module) for module in (Own(), torch.nn.Dropout2d(), torch.nn.BatchNorm1d(3), torch.nn.GRU(3, 4))
    )
    plain = (torch.nn.Linear(3, 4), torch.nn.Sequential(Own()), torch.nn.LayerNorm(3), NoisyLinear(3, 4))
    assert not any(has_modes(module) for module in plain)


@pytest.mark.parametrize("shape", [(3,), (5, 3)])
def test_few_inputs_give_what_a_linear_layer_gives(shape):
    torch.manual_seed(0)
    fast = linear_layer(3, 64)
    usual = torch.nn.Linear(3, 64)
    usual.load_state_dict(fast.state_dict())
    x = torch.randn(7, *shape)
    slope = torch.randn(7, *shape[:-1], 64)
    for layer in (fast, usual):
        (layer(x) * slope).sum().backward()
    assert isinstance(fast, NarrowLinear) and fast.weight.is_contiguous()
    torch.testing.assert_close(fast.weight.grad, usual.weight.grad)
    torch.testing.assert_close(fast.bias.grad, usual.bias.grad)
    with torch.no_grad():
        assert torch.equal(fast(x), usual(x))


def test_many_inputs_and_few_outputs_have_the_plain_layer():
    assert type(linear_layer(16, 64)) is type(linear_layer(3, 8)) is torch.nn.Linear

"""Whole networks: branches, merging, heads, calling conventions, initialisation, compiling."""

import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import tree_leaves, tree_map
from algos.networks.builder import build_encoder, build_head_stack, build_network, orthogonal_

BOX = spaces.Box(-1, 1, (3,), np.float32)
DICT = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (40, 40, 3), np.uint8),
        "type": spaces.Discrete(4),  # a name that nn.ModuleDict refuses
        "arm.pos": spaces.Box(-1, 1, (2, 2), np.float32),
    }
)
GRU = {"layer_type": "gru", "layer_size": 6}


def linear(size, **more):
    return {"layer_type": "linear", "layer_size": size, **more}


def batch(space, *lead):
    """Samples of a space with leading dimensions."""
    n = math.prod(lead)
    samples = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {k: torch.as_tensor(np.stack([s[k] for s in samples])).unflatten(0, lead) for k in space}
    return torch.as_tensor(np.stack(samples)).unflatten(0, lead)


def test_plain_network_is_a_bare_sequential():
    net = build_network(BOX, [linear([8, 4], activation="tanh")], out_features=2)
    assert [type(m).__name__ for m in net.body] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    assert net.prepare is None and net.out_features == 2 and not net.recurrent
    x = torch.randn(5, 3)
    assert torch.equal(net(x), net.body(x))
    assert list(net.state_dict())[:2] == ["body.0.weight", "body.0.bias"]


def test_no_layers_is_the_identity():
    net, x = build_encoder(BOX), torch.randn(5, 3)
    assert net.out_features == 3 and torch.equal(net(x), x)


def test_merge_comes_before_layers():
    net = build_network(BOX, [linear(4)], merge=[linear(7)])
    assert [m.out_features for m in net.body if isinstance(m, torch.nn.Linear)] == [7, 4]


def test_dict_joins_its_branches():
    branches = {"camera": [linear(5)], "type": ""}
    net = build_network(DICT, [linear(9)], branches=branches, merge=[linear(11)], out_features=2)
    assert net.prepare.out_features == 5 + 4 + 4
    obs = batch(DICT, 6)
    joined = net.prepare(obs)
    order = list(DICT.spaces)
    parts = dict(zip(order, joined.split([{"camera": 5, "type": 4, "arm.pos": 4}[k] for k in order], 1), strict=True))
    assert torch.equal(parts["arm.pos"], obs["arm.pos"].flatten(1))
    assert torch.equal(parts["type"], torch.eye(4)[obs["type"]])
    assert net(obs).shape == (6, 2)
    assert [m.out_features for m in net.body if isinstance(m, torch.nn.Linear)] == [11, 9, 2]


@pytest.mark.parametrize(
    ("space", "arguments", "text"),
    [
        (DICT, {"branches": {"camra": []}}, "agent.branch_layers.camra: the observation has no such key (did you mean"),
        (DICT, {"branches": {"camera": [{"layer_type": "x"}]}}, "agent.branch_layers.camera[0].layer_type='x'"),
        (DICT, {"branches": [1]}, "agent.branch_layers=[1]: expected a mapping"),
        (DICT, {"merge": [{"layer_type": "x"}]}, "agent.merge_layers[0].layer_type='x'"),
        (BOX, {"branches": {"a": []}}, "agent.branch_layers: only a Dict observation has branches, but the env"),
        (
            DICT,
            {"merge": [{"layer_type": "conv2d", "out_channel": 1, "kernel_size": 1}]},
            "agent.merge_layers[0]: conv2d takes an image (channels x height x width), but gets a vector of",
        ),
        (DICT, {"merge": [{"layer_type": "embed", "layer_size": 1}]}, "agent.merge_layers[0]: embed must be the first"),
    ],
)
def test_errors_name_branches_and_merge(space, arguments, text):
    with pytest.raises(UserError) as error:
        build_network(space, [linear(4)], path="agent.value_layers", **arguments)
    assert text in str(error.value)
    with pytest.raises(UserError) as error:
        build_encoder(space, arguments.get("branches"), arguments.get("merge"), "agent.merge_layers")
    assert text in str(error.value)


def test_head_stack_error_names_its_path():
    with pytest.raises(UserError, match=r"algo_cfg.actor_layers\[0\]: conv2d"):
        build_head_stack(8, [{"layer_type": "conv2d", "out_channel": 1, "kernel_size": 1}], 2, "algo_cfg.actor_layers")


@pytest.mark.parametrize("space", [BOX, DICT, spaces.Discrete(4), DICT["camera"]])
def test_memoryless_unroll_equals_forward(space):
    net = build_network(space, [linear(8)], out_features=2)
    obs = batch(space, 3, 4)
    y, state = net.unroll(obs, (), torch.zeros(3, 4, dtype=torch.bool))
    assert state == () == net.init_state(3) and y.shape == (3, 4, 2)
    for t in range(4):
        torch.testing.assert_close(y[:, t], net(tree_map(lambda x, t=t: x[:, t], obs)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("place", ["branch", "merge", "layers", "everywhere"])
def test_memory_in_any_place(place):
    everywhere = place == "everywhere"
    net = build_network(
        DICT,
        [GRU] if place == "layers" or everywhere else [linear(4)],
        branches={"type": [GRU, linear(3)]} if place == "branch" or everywhere else None,
        merge=[GRU, linear(5)] if place == "merge" or everywhere else None,
        out_features=2,
    )
    obs, reset = batch(DICT, 3, 6), torch.rand(3, 6) < 0.2
    reset[1, 2] = True
    assert net.recurrent and len(tree_leaves(net.init_state(3))) == (3 if everywhere else 1)
    whole, last = net.unroll(obs, net.init_state(3), reset)
    state, outs = net.init_state(3), []
    for t in range(6):
        y, state = net.unroll(tree_map(lambda x, t=t: x[:, t : t + 1], obs), state, reset[:, t : t + 1])
        outs.append(y)
    torch.testing.assert_close(torch.cat(outs, 1), whole, atol=1e-5, rtol=0)
    tree_map(lambda a, b: torch.testing.assert_close(a, b, atol=1e-5, rtol=0), state, last)


def test_memory_over_observations_of_other_types():
    reset = torch.zeros(2, 3, dtype=torch.bool)
    for space in (spaces.Discrete(4), spaces.Box(-1, 1, (3,), np.float64), DICT["camera"]):
        net = build_network(space, [GRU], out_features=2)
        assert net.unroll(batch(space, 2, 3), net.init_state(2), reset)[0].shape == (2, 3, 2)
    encoder = build_encoder(BOX, None, [GRU])
    assert encoder.unroll(batch(BOX, 2, 3), encoder.init_state(2), reset)[0].shape == (2, 3, 6)


def test_noise_and_dropout_are_known():
    plain = build_network(BOX, [linear(8)])
    assert not plain.has_noise and not plain.has_dropout
    branches = {"type": [{"layer_type": "noisy_linear", "layer_size": 4}, {"layer_type": "dropout", "p": 0.1}]}
    net = build_network(DICT, [{"layer_type": "noisy_linear", "layer_size": 4}], branches=branches)
    assert net.has_noise and net.has_dropout
    assert not build_network(BOX, [{"layer_type": "dropout", "p": 0}]).has_dropout


def test_reset_noise_reaches_every_layer_of_this_network_only():
    layers = [{"layer_type": "noisy_linear", "layer_size": [4, 4]}]
    net = build_network(BOX, layers, out_features=2)
    twin, x = copy.deepcopy(net), torch.randn(5, 3)
    before = twin(x)
    net.reset_noise(torch.Generator().manual_seed(0))
    assert torch.equal(twin(x), before) and not torch.allclose(net(x), before)
    assert all(layer.eps_in.abs().sum() > 0 and layer.eps_out.abs().sum() > 0 for layer in net.noisy)
    twin.reset_noise(torch.Generator().manual_seed(0))
    assert torch.equal(twin(x), net(x))


def test_dropout_in_evaluation_is_off():
    net, x = build_network(BOX, [{"layer_type": "dropout", "p": 0.9}]).eval(), torch.randn(5, 3)
    assert torch.equal(net(x), x)


def test_orthogonal_initialisation():
    net = build_network(BOX, [linear([8, 4]), GRU], out_features=2)
    orthogonal_(net, math.sqrt(2), 0.01)
    weights = dict(net.named_parameters())
    torch.testing.assert_close(weights["body.0.weight"].T @ weights["body.0.weight"], 2 * torch.eye(3))
    torch.testing.assert_close(weights["body.2.weight"] @ weights["body.2.weight"].T, 2 * torch.eye(4))
    torch.testing.assert_close(weights["body.5.weight"] @ weights["body.5.weight"].T, 1e-4 * torch.eye(2))
    for gate in weights["body.4.layers.0.weight_hh_l0"].chunk(3):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)
    assert all(not weight.any() for name, weight in weights.items() if "bias" in name)


def test_without_output_layer_every_layer_is_hidden():
    net = build_encoder(BOX, None, [linear(3, activation="none")])
    orthogonal_(net, 2.0, 0.01)
    torch.testing.assert_close(net.body[0].weight @ net.body[0].weight.T, 4 * torch.eye(3))


@pytest.mark.parametrize("space", [BOX, DICT, spaces.MultiDiscrete([2, 3])])
def test_compiles_whole_and_takes_other_weights(space):
    net, obs = build_network(space, [linear(8)], out_features=2), batch(space, 4)
    weights = {name: weight.detach() * 2 for name, weight in net.named_parameters()}

    def loss(weights, obs):
        return torch.func.functional_call(net, weights, (obs,)).square().sum()

    step = torch.compile(torch.func.grad_and_value(loss), backend="aot_eager", fullgraph=True)
    grads, value = step(weights, obs)
    torch.testing.assert_close(value, loss(weights, obs))
    assert set(grads) == set(weights) and not torch.allclose(value, net(obs).square().sum())


def test_unroll_of_a_memoryless_network_compiles_whole():
    net, obs = build_network(BOX, [linear(8)], out_features=2), batch(BOX, 3, 4)
    reset = torch.zeros(3, 4, dtype=torch.bool)
    unroll = torch.compile(net.unroll, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(unroll(obs, (), reset)[0], net.unroll(obs, (), reset)[0])


def test_examples_of_the_guide_build():
    text = (Path(__file__).parents[3] / "docs" / "networks.md").read_text()
    _own, mlp, cnn, branched = [
        yaml.safe_load(block)["algo_cfg"] for block in re.findall(r"```yaml\n(.*?)```", text, re.S)
    ]
    assert build_network(BOX, mlp["value_layers"], out_features=2)(batch(BOX, 4)).shape == (4, 2)
    image = spaces.Box(0, 255, (12, 12, 3), np.uint8)
    assert build_network(image, cnn["value_layers"], out_features=2)(batch(image, 4)).shape == (4, 2)
    space = spaces.Dict(
        camera=spaces.Box(0, 255, (64, 64, 3), np.uint8), mode=spaces.Discrete(3), arm=spaces.Box(-1, 1, (6,))
    )
    encoder = build_encoder(space, branched["branch_layers"], branched["merge_layers"])
    assert encoder.prepare.out_features == 64 + 8 + 6 and encoder.out_features == 128 and encoder.recurrent
    actor = build_head_stack(encoder.out_features, branched["actor_layers"], 2, "algo_cfg.actor_layers")
    features, _ = encoder.unroll(batch(space, 2, 3), encoder.init_state(2), torch.zeros(2, 3, dtype=torch.bool))
    assert actor.unroll(features, (), torch.zeros(2, 3, dtype=torch.bool))[0].shape == (2, 3, 2)

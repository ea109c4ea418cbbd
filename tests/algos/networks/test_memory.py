"""The contract of every layer that carries state; each further layer is one more line in LAYERS."""

import pytest
import torch

from algos.common.errors import UserError
from algos.common.trees import tree_leaves, tree_map
from algos.networks.builder import build_head_stack
from algos.networks.memory import GRU, LSTM, StatefulLayer
from algos.networks.spec import LAYER_TYPES, any_carries_state

ROWS, STEPS, SIZE = 5, 12, 6
ATTENTION = {"layer_type": "attention", "d_model": 8, "n_heads": 2, "feature_dim": 4}
LAYERS = [
    {"layer_type": "gru", "layer_size": 7},
    {"layer_type": "gru", "layer_size": 7, "n_layers": 2},
    {"layer_type": "lstm", "layer_size": 7},
    {"layer_type": "lstm", "layer_size": 7, "n_layers": 2},
    {"layer_type": "fsmn", "hidden_dim": 7, "memory_order": 3},
    {"layer_type": "fsmn", "hidden_dim": 7, "memory_order": 2, "stride": 2, "num_blocks": 1},
    {"layer_type": "fsmn", "hidden_dim": 7, "memory_order": 20, "num_blocks": 1},
    *(
        {**ATTENTION, "kind": kind, "window": window, "n_layers": n_layers, "gate": gate}
        for kind in ("flash", "linear", "hybrid")
        for window, n_layers, gate in ((3, 1, "none"), (5, 2, "gru"), (50, 1, "none"))
    ),
]


@pytest.fixture(params=LAYERS, ids=lambda layer: "-".join(map(str, layer.values())))
def net(request):
    torch.manual_seed(0)
    layers = [{"layer_type": "linear", "layer_size": 8, "activation": "tanh"}, request.param]
    return build_head_stack(SIZE, layers, 3, "algo_cfg.layers")


def data(reset_share=0.2):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, STEPS, SIZE, generator=generator)
    reset = torch.rand(ROWS, STEPS, generator=generator) < reset_share
    return x, reset


def unroll(net, x, reset, chunk, state):
    outs = []
    for start in range(0, x.shape[1], chunk):
        y, state = net.unroll(x[:, start : start + chunk], state, reset[:, start : start + chunk])
        outs.append(y)
    return torch.cat(outs, dim=1), state


def a_state(net):
    """Some state that is not the initial one."""
    x, reset = data(0)
    return net.unroll(x.flip(1), net.init_state(ROWS), reset)[1]


@pytest.mark.parametrize("reset_share", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("chunk", [1, 4, 5])
def test_steps_equal_chunks_equal_the_whole(net, chunk, reset_share):
    x, reset = data(reset_share)
    whole, last = unroll(net, x, reset, STEPS, a_state(net))
    parts, end = unroll(net, x, reset, chunk, a_state(net))
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)
    tree_map(lambda a, b: torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-6), last, end)


def test_after_a_reset_the_past_is_forgotten(net):
    x, reset = data(0)
    reset[:, 4] = True
    y, _ = unroll(net, x, reset, STEPS, a_state(net))
    fresh, _ = unroll(net, x[:, 4:], reset[:, 4:] & False, STEPS, net.init_state(ROWS))
    torch.testing.assert_close(y[:, 4:], fresh, atol=1e-5, rtol=0)


def test_no_reset_carries_the_state(net):
    x, reset = data(0)
    y, _ = unroll(net, x, reset, STEPS, a_state(net))
    fresh, _ = unroll(net, x, reset, STEPS, net.init_state(ROWS))
    assert not torch.allclose(y[:, 0], fresh[:, 0])


@pytest.mark.parametrize("reset_share", [0.0, 0.1])
def test_causal(net, reset_share):
    x, reset = data(reset_share)
    x.requires_grad_()
    y, _ = net.unroll(x, net.init_state(ROWS), reset)
    for t in range(STEPS):
        (grad,) = torch.autograd.grad(y[:, t].sum(), x, retain_graph=True)
        assert torch.equal(grad[:, t + 1 :], torch.zeros_like(grad[:, t + 1 :]))
        assert grad[:, t].abs().sum() > 0
        for row, cut in reset[:, : t + 1].nonzero().tolist():
            assert torch.equal(grad[row, :cut], torch.zeros_like(grad[row, :cut]))


def test_rows_are_apart(net):
    x, reset = data(0)
    state = a_state(net)
    y, _ = net.unroll(x, state, reset)
    reset[2, [0, 5]] = True
    z, _ = net.unroll(x, state, reset)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(y[others], z[others], atol=1e-6, rtol=0)
    assert not torch.allclose(y[2, 0], z[2, 0])


def test_resets_leave_the_given_state_alone(net):
    x, reset = data(1.0)
    state = a_state(net)
    kept = tree_map(torch.clone, state)
    net.unroll(x, state, reset)
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(state), tree_leaves(kept), strict=True))


def test_shapes_and_refusals(net):
    assert net.recurrent and isinstance(net.body[2], StatefulLayer)
    assert all(leaf.shape[0] == ROWS for leaf in tree_leaves(net.init_state(ROWS)))
    x, reset = data()
    y, state = net.unroll(x, net.init_state(ROWS), reset)
    assert y.shape == (ROWS, STEPS, 3)
    tree_map(lambda a, b: a.shape == b.shape or pytest.fail("state changes shape"), state, net.init_state(ROWS))
    with pytest.raises(TypeError, match="unroll"):
        net(x[:, 0])


def test_functional_call_with_other_weights(net):
    class Unroll(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, reset):
            return self.net.unroll(x, self.net.init_state(ROWS), reset)[0]

    x, reset = data()
    loss, whole = Unroll(), Unroll()(x, reset)
    halves = {name: weight.detach() / 2 for name, weight in loss.named_parameters()}
    grads, y = torch.func.grad_and_value(lambda p: torch.func.functional_call(loss, p, (x, reset)).sum())(halves)
    assert not torch.allclose(y, whole.sum())
    assert all(grad.abs().sum() > 0 for grad in grads.values())


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_equals_torch_without_resets(kind, n_layers):
    layer, reference = kind(SIZE, 7, n_layers), kind.kind(SIZE, 7, n_layers, batch_first=True)
    for index, part in enumerate(layer.layers):
        for name, weight in part.named_parameters():
            getattr(reference, name.replace("l0", f"l{index}")).data.copy_(weight)
    x, reset = data(0)
    y, state = layer(x, layer.init_state(ROWS), reset)
    expected, hidden = reference(x)
    torch.testing.assert_close(y, expected)
    tree_map(lambda ours, theirs: torch.testing.assert_close(ours, theirs.transpose(0, 1)), state, hidden)


def test_gru_takes_one_call_however_many_episodes(monkeypatch):
    layer, shapes = GRU(SIZE, 7), []
    call = layer.layers[0].forward
    monkeypatch.setattr(layer.layers[0], "forward", lambda x, h: shapes.append(tuple(x.shape[:2])) or call(x, h))
    x, reset = data(0)
    reset[:, 0] = True
    layer(x, layer.init_state(ROWS), reset)
    reset[1, 3], reset[2, 3], reset[4, 11] = True, True, True
    layer(x, layer.init_state(ROWS), reset)
    assert shapes == [(ROWS, STEPS), (ROWS + 3, STEPS)]  # three rows in two pieces each, the longest row whole


def test_gru_equation_by_hand():
    layer = GRU(1, 1)
    with torch.no_grad():
        layer.layers[0].weight_ih_l0.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
        layer.layers[0].weight_hh_l0.fill_(0.5)
        layer.layers[0].bias_ih_l0.fill_(0.1)
        layer.layers[0].bias_hh_l0.fill_(0.2)
    x, h = torch.tensor(0.5), torch.tensor(0.25)
    # r = s(x + h/2 + .3), z = s(2x + h/2 + .3), n = tanh(3x + .1 + r (h/2 + .2)), h' = (1 - z) n + z h
    r, z = torch.sigmoid(x + h / 2 + 0.3), torch.sigmoid(2 * x + h / 2 + 0.3)
    n = torch.tanh(3 * x + 0.1 + r * (h / 2 + 0.2))
    y, _ = layer(x.view(1, 1, 1), h.view(1, 1, 1), torch.tensor([[False]]))
    torch.testing.assert_close(y.squeeze(), (1 - z) * n + z * h)


def test_convolution_after_memory_is_refused():
    layers = [LAYERS[0], {"layer_type": "conv2d", "out_channel": 4, "kernel_size": 3}]
    with pytest.raises(UserError, match=r"algo_cfg.layers\[1\]: conv2d takes an image .* gets a vector of 7"):
        build_head_stack(SIZE, layers, None, "algo_cfg.layers")


def test_the_specs_say_which_layers_carry_state():
    """What is read off a config without torch is what the networks are."""
    known = {name for name, spec in LAYER_TYPES.items() if spec.carries_state}
    assert known == {"gru", "lstm", "fsmn", "attention"}
    for name in known:
        sizes = {"layer_size": 8} if name in ("gru", "lstm") else {}
        layer = {"layer_type": name, **sizes}
        assert (
            any_carries_state([{"layer_type": "linear"}], [layer]) and build_head_stack(4, [layer], None, "x").recurrent
        )
    assert not any_carries_state([{"layer_type": "linear"}, 3, {"layer_type": "nothing"}], None, "gru")

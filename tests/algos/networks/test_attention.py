"""Attention: against softmax and sums written out, its gate, its window and its chunks."""

import math

import pytest
import torch
from torch.nn import functional as F

from algos.common.errors import UserError
from algos.common.trees import tree_leaves
from algos.networks import attention
from algos.networks.attention import (
    Attention,
    Clock,
    HybridAttention,
    LinearAttention,
    WindowAttention,
    join_heads,
    rotated,
    split_heads,
    turn_of,
)
from algos.networks.spec import AttentionSpec, parse_layers

D, HEADS, FEATURES, ROWS = 8, 2, 4, 3


def rows(steps, reset_share=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, steps, D, generator=generator)
    return x, torch.rand(ROWS, steps, generator=generator) < reset_share


def start(reset):
    return torch.zeros(len(reset), dtype=torch.int64), reset


def same_episode(reset):
    """Pairs of steps [B, t, t'] of one episode, t' not after t."""
    episode = reset.cumsum(1)
    return (episode.unsqueeze(2) == episode.unsqueeze(1)) & torch.ones(reset.shape[1], reset.shape[1]).tril().bool()


def test_the_clock_counts_steps_of_the_episode():
    reset = torch.tensor([[0, 0, 1, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    clock = Clock.of(torch.tensor([7, 5, 0]), reset)
    assert clock.position.tolist() == [[7, 8, 0, 1, 0], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert not clock.fresh and Clock.of(torch.tensor([5, 0]), reset[1:]).fresh


@pytest.mark.parametrize("window", [1, 4, 9, 40])
@pytest.mark.parametrize("reset_share", [0.0, 0.15])
def test_the_window_is_softmax_written_out(window, reset_share):
    torch.manual_seed(0)
    layer = WindowAttention(D, HEADS, window)
    x, reset = rows(25, reset_share)
    clock = Clock.of(*start(reset))
    y, _ = layer(x, layer.init_memory(ROWS), clock)
    query, key, value = (split_heads(part, HEADS) for part in layer.project(x).chunk(3, dim=2))
    scores = clock.turn(query) @ clock.turn(key).mT / math.sqrt(D / HEADS)
    age = torch.arange(25).unsqueeze(1) - torch.arange(25)
    visible = (same_episode(reset) & (age < window)).unsqueeze(1)
    expected = join_heads(scores.masked_fill(~visible, -torch.inf).softmax(3) @ value)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("reset_share", [0.0, 0.15])
def test_linear_attention_is_the_sum_written_out(monkeypatch, chunk, reset_share):
    monkeypatch.setattr(attention, "CHUNK", chunk)
    torch.manual_seed(0)
    layer = LinearAttention(D, HEADS, FEATURES)
    x, reset = rows(25, reset_share)
    clock = Clock.of(*start(reset))
    y, _ = layer(x, layer.init_memory(ROWS), clock)
    query, key = (split_heads(F.elu(part) + 1, HEADS) for part in layer.features(x).chunk(2, dim=2))
    age = torch.arange(25).unsqueeze(1) - torch.arange(25)
    faded = same_episode(reset).unsqueeze(1) * torch.exp(-layer.log_rate.exp().view(-1, 1, 1) * age.clamp(min=0))
    weights = (clock.turn(query) @ clock.turn(key).mT) * faded
    sizes = ((query @ key.mT) * faded).sum(3, keepdim=True)
    expected = join_heads(weights @ split_heads(layer.value(x), HEADS) / sizes)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=0)


def test_chunks_make_no_difference_over_long_sequences():
    torch.manual_seed(0)
    layer = LinearAttention(D, HEADS, FEATURES)
    x, reset = rows(3 * attention.CHUNK + 5, 0.01)
    whole, last = layer(x, layer.init_memory(ROWS), Clock.of(*start(reset)))
    memory, position, steps = layer.init_memory(ROWS), torch.zeros(ROWS, dtype=torch.int64), []
    for t in range(x.shape[1]):
        clock = Clock.of(position, reset[:, t : t + 1])
        y, memory = layer(x[:, t : t + 1], memory, clock)
        position = clock.position[:, -1] + 1
        steps.append(y)
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(memory, last, atol=1e-4, rtol=1e-5)


def test_positions_matter_by_their_distance_alone():
    x = torch.randn(2, ROWS, HEADS, 5, D)
    near, far = torch.arange(5).expand(ROWS, 5), 1000 + torch.arange(5).expand(ROWS, 5)
    turns = [turn_of(position, D) for position in (near, far)]
    products = [rotated(x[0], turn) @ rotated(x[1], turn).mT for turn in turns]
    torch.testing.assert_close(*products, atol=1e-3, rtol=0)
    assert not torch.allclose(products[0], x[0] @ x[1].mT)


@pytest.mark.parametrize(("gate", "part"), [(1, "near"), (0, "far")])
def test_an_open_gate_is_the_softmax_and_a_shut_one_the_linear_part(gate, part):
    torch.manual_seed(0)
    layer = HybridAttention(D, HEADS, 5, FEATURES)
    layer.gate.weight.data.zero_()
    layer.gate.bias.data.fill_(torch.inf if gate else -torch.inf)
    x, reset = rows(25)
    clock, memory = Clock.of(*start(reset)), layer.init_memory(ROWS)
    alone = getattr(layer, part)
    expected, _ = alone(x, alone.init_memory(ROWS), clock)
    torch.testing.assert_close(layer(x, memory, clock)[0], expected, atol=1e-6, rtol=0)


def test_the_gates_of_a_block_let_the_input_through_at_first():
    torch.manual_seed(0)
    gate, x = attention.GRUGate(D), torch.randn(4, D)
    for weight in (gate.of_x.weight, gate.of_y.weight, gate.of_rest.weight):
        weight.data.zero_()
    z = torch.sigmoid(torch.tensor(-2.0))
    torch.testing.assert_close(gate(x, torch.randn(4, D)), (1 - z) * x)


@pytest.mark.parametrize("kind", ["flash", "linear", "hybrid"])
def test_the_state_does_not_grow(kind):
    layer = Attention(3, AttentionSpec("here", kind=kind, d_model=D, n_heads=HEADS, window=4))
    state = layer.init_state(1)
    for _ in range(10):
        _, state = layer(torch.randn(1, 1, 3), state, torch.zeros(1, 1, dtype=torch.bool))
    assert state[0].item() == 10
    sizes = {"flash": 2 * 3 * D, "linear": HEADS * 32 * (D // HEADS + 1)}
    sizes["hybrid"] = sizes["flash"] + sizes["linear"]
    assert sum(leaf.numel() for leaf in tree_leaves(state[1])) == sizes[kind]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "flsh"}, "kind='flsh': choose from flash, linear, hybrid (did you mean 'flash'?)"),
        ({"d_model": 12, "n_heads": 4}, "d_model: is 12, but must be a multiple of 2 n_heads = 8"),
        ({"feature_dim": 5}, "feature_dim: is 5, but must be even"),
        ({"window": 0}, "window=0: expected a whole number of at least 1"),
    ],
)
def test_mistakes_are_told(settings, said):
    with pytest.raises(UserError) as told:
        parse_layers([{"layer_type": "attention", **settings}], "algo_cfg.merge_layers")
    assert said in str(told.value) and "algo_cfg.merge_layers[0]" in str(told.value)

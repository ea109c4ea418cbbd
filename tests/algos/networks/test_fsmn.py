"""FSMN: which steps a block sees, and with which taps."""

import pytest
import torch

from algos.networks.fsmn import FSMN, FSMNBlock


def sight(layer, steps, size=3):
    """Which inputs [t, t'] the output of step t depends on."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, steps, size, generator=generator, requires_grad=True)
    y, _ = layer(x, layer.init_state(1), torch.zeros(1, steps, dtype=torch.bool))
    rows = [torch.autograd.grad(y[0, t].square().sum(), x, retain_graph=True)[0][0].abs().sum(1) for t in range(steps)]
    return torch.stack(rows) > 0


@pytest.mark.parametrize(
    ("memory_order", "stride", "num_blocks"), [(0, 1, 1), (1, 1, 2), (3, 1, 1), (3, 1, 2), (2, 3, 2), (2, 1, 3)]
)
def test_a_step_sees_exactly_as_far_back_as_the_taps_of_all_blocks(memory_order, stride, num_blocks):
    torch.manual_seed(0)
    layer = FSMN(3, 5, memory_order, stride, num_blocks, "tanh")
    steps = 16
    age = torch.arange(steps).unsqueeze(1) - torch.arange(steps)
    expected = (age >= 0) & (age <= memory_order * stride * num_blocks) & (age % stride == 0)
    assert torch.equal(sight(layer, steps), expected)


def test_the_memory_by_hand():
    block = FSMNBlock(1, 1, memory_order=2, stride=2, activation_name="none")
    block.taps.data = torch.tensor([[0.5], [10.0], [100.0]])  # a_0, a_1, a_2: of steps t, t - 2, t - 4
    p = torch.arange(1.0, 7.0).view(1, 6, 1)
    m, memory = block.remember(p, block.init_memory(1), torch.zeros(1, 10, dtype=torch.int64))
    assert m.flatten().tolist() == [1.5, 3.0, 4.5 + 10, 6.0 + 20, 7.5 + 30 + 100, 9.0 + 40 + 200]
    assert memory.flatten().tolist() == [3, 4, 5, 6]


def test_zero_taps_give_the_identity():
    block = FSMNBlock(4, 4, memory_order=3, stride=1, activation_name="none")
    block.taps.data.zero_()
    p, memory = torch.randn(2, 5, 4), torch.randn(2, 3, 4)
    assert torch.equal(block.remember(p, memory, torch.zeros(2, 8, dtype=torch.int64))[0], p)


def test_a_new_episode_does_not_see_the_one_before():
    block = FSMNBlock(1, 1, memory_order=1, stride=1, activation_name="none")
    block.taps.data = torch.tensor([[0.0], [1.0]])
    p = torch.tensor([[[1.0], [2.0], [4.0]]])
    m, memory = block.remember(p, torch.tensor([[[8.0]]]), torch.tensor([[0, 0, 1, 1]]))  # a new one at t = 1
    assert m.flatten().tolist() == [1 + 8, 2, 4 + 2] and memory.item() == 4

"""Target networks: what a copy and a soft update leave."""

import torch
from torch import nn

from algos.common.targets import make_target, update_target


def pair(online, target):
    nets = nn.Linear(1, 1), nn.Linear(1, 1)
    for net, value in zip(nets, (online, target), strict=True):
        for param in net.parameters():
            nn.init.constant_(param, value)
    return nets


def values(net):
    return [param.item() for param in net.parameters()]


def test_a_target_is_an_equal_copy_without_gradients():
    net = nn.Linear(2, 2)
    target = make_target(net)
    assert not any(param.requires_grad for param in target.parameters())
    assert all(param.requires_grad for param in net.parameters())
    assert torch.equal(net.weight, target.weight) and net.weight.data_ptr() != target.weight.data_ptr()


def test_hard_update_copies_and_shares_nothing():
    net, target = pair(online=4.0, target=8.0)
    update_target(target, net, 1.0)
    assert values(target) == [4.0, 4.0]
    nn.init.zeros_(net.weight)
    assert values(target) == [4.0, 4.0]


def test_soft_update_moves_by_tau():
    # 0.75 * 8 + 0.25 * 4 = 7, then 0.75 * 7 + 0.25 * 4 = 6.25
    net, target = pair(online=4.0, target=8.0)
    update_target(target, net, 0.25)
    assert values(target) == [7.0, 7.0]
    update_target(target, net, 0.25)
    assert values(target) == [6.25, 6.25] and values(net) == [4.0, 4.0]

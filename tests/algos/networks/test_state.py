"""What is done with trees of tensors."""

from typing import NamedTuple

import torch

from algos.networks.state import minibatches, reset_rows, tree_leaves, tree_map


class Pair(NamedTuple):
    first: torch.Tensor
    second: tuple = ()


def test_tree_map_keeps_the_types_of_a_tree():
    tree = {"a": Pair(torch.tensor(1), (torch.tensor(2),)), "b": [torch.tensor(3)], "c": Pair(torch.tensor(4))}
    doubled = tree_map(lambda one, other: one + other, tree, tree)
    assert [leaf.item() for leaf in tree_leaves(doubled)] == [2, 4, 6, 8]
    assert type(doubled["a"]) is Pair and type(doubled["a"].second) is tuple and type(doubled["b"]) is list
    assert doubled["c"].second == ()


def test_the_initial_state_is_taken_where_an_episode_starts():
    state, initial = (
        (torch.tensor([[1.0], [2.0]]), {"h": torch.tensor([3.0, 4.0])}),
        (torch.zeros(2, 1), {"h": torch.zeros(2)}),
    )
    rows, parts = reset_rows(state, initial, torch.tensor([False, True]))
    assert rows.tolist() == [[1.0], [0.0]] and parts["h"].tolist() == [3.0, 0.0]


def test_minibatches_have_each_row_once_and_what_is_left_in_the_last():
    rows = {"a": torch.arange(7), "b": (torch.arange(14).view(7, 2),)}
    parts = list(minibatches(rows, 3, torch.Generator().manual_seed(0)))
    assert [len(part["a"]) for part in parts] == [3, 3, 1]
    order = torch.cat([part["a"] for part in parts])
    assert sorted(order.tolist()) == list(range(7)) and order.tolist() != list(range(7))
    assert torch.equal(torch.cat([part["b"][0] for part in parts]), rows["b"][0][order])

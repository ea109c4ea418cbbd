"""What is done with trees of tensors."""

import torch

from algos.networks.state import minibatches, reset_rows


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

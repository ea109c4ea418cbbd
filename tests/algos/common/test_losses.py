"""TD losses of single rows by hand."""

import pytest
import torch

from algos.common.losses import TD_LOSSES


@pytest.mark.parametrize(("name", "expected"), [("mse", [0.25, 9.0]), ("huber", [0.125, 2.5])])
def test_td_losses_by_hand(name, expected):
    # errors 0.5 and -3; Huber's is half the square up to 1, and |error| - 1/2 beyond
    q_value, target = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 5.0])
    assert TD_LOSSES[name](q_value, target, reduction="none").tolist() == expected

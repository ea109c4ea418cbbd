"""Replayed sequences: what is appended, what a burn-in costs, which steps are learned, by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.sequences import Sequences, loss_mask
from algos.networks.builder import build_network

ROWS, STEPS = 3, 5


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build_network(spaces.Box(-1, 1, (2,), np.float32), [{"layer_type": "gru", "layer_size": 4}])


def sequences(net, burn_in=0):
    reset = torch.zeros(ROWS, STEPS, dtype=torch.bool)
    reset[1, 3] = True
    return Sequences(torch.randn(ROWS, STEPS, 2), reset, net.init_state(ROWS), burn_in)


def test_what_follows_the_last_step_is_appended(net):
    given, next_obs = sequences(net), torch.randn(ROWS, STEPS, 2)
    longer = given.shifted(next_obs)
    torch.testing.assert_close(longer.obs, torch.cat([given.obs, next_obs[:, -1:]], 1), rtol=0, atol=0)
    assert torch.equal(longer.reset[:, :STEPS], given.reset) and not longer.reset[:, STEPS].any()
    parts = Sequences({"a": given.obs}, given.reset, given.state, 2).shifted({"a": next_obs})
    assert torch.equal(parts.obs["a"], longer.obs) and (longer.burn_in, parts.burn_in) == (1, 3)


@pytest.mark.parametrize("burn_in", [0, 2, STEPS - 1])
def test_a_burn_in_leaves_the_numbers_and_takes_the_gradient(net, burn_in):
    given = sequences(net, burn_in)
    whole = net.unroll(given.obs, given.state, given.reset)[0]
    given.obs.requires_grad_()
    y = given.unroll(net)
    torch.testing.assert_close(y, whole[:, burn_in:], atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(y.sum(), given.obs)
    assert not gradient[:, :burn_in].any() and gradient[:, burn_in:].any(2).all()


def test_only_steps_with_a_known_target_are_learned():
    # row 0: a cut at step 1 and an end at step 3; row 1: a cut at the last step, whose next observation is appended
    terminated = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]]).bool()
    truncated = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1]]).bool()
    expected = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1]]).float()
    torch.testing.assert_close(loss_mask(terminated, truncated, 0), expected * 8 / 7)
    torch.testing.assert_close(loss_mask(terminated, truncated, 2), expected)  # mean 1 after the burn-in

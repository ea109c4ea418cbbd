"""The squashed Gaussian: its density, its bounds."""

import math

import pytest
import torch
from replay_parts import make

from algos.actor_critic.networks import squashed_gaussian


def test_the_squashed_density_integrates_to_one():
    # p(a) of the grid's actions, from noise = (atanh a - mean) / std
    a = torch.linspace(-1, 1, 200_003, dtype=torch.float64)[1:-1].unsqueeze(1)
    mean, log_std = torch.tensor([[0.4]]), torch.tensor([[-0.3]])
    noise = (a.atanh() - mean) / log_std.exp()
    action, log_prob = squashed_gaussian((mean, log_std), noise)
    torch.testing.assert_close(action, a)
    assert torch.trapezoid(log_prob.exp(), a[:, 0]).item() == pytest.approx(1, abs=1e-4)


def test_the_tanh_correction_is_finite_where_tanh_is_one():
    # log(1 - tanh(u)^2) -> 2 (log 2 - u) for large u; N(u) at its mean
    _, log_prob = squashed_gaussian((torch.tensor([[50.0]]), torch.zeros(1, 1)), torch.zeros(1, 1))
    assert log_prob.item() == pytest.approx(-0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - 50))


def test_the_standard_deviation_depends_on_the_state_within_bounds():
    actor = make("SAC").actor
    _, log_std = actor(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1e9]]))
    assert not torch.equal(log_std[0], log_std[1])
    assert all(value in (-20, 2) for value in log_std[2].tolist())

"""REINFORCE: returns by episode, with and without a baseline, and its gradient, by hand."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.distributions import Categorical
from algos.common.errors import UserError
from algos.common.optim import Step
from algos.data import Batch
from algos.policy_gradient.config import REINFORCEConfig
from algos.policy_gradient.reinforce import REINFORCE
from algos.policy_gradient.rows import RolloutRows

torch.set_num_threads(1)  # small networks
BOX, TWO = spaces.Box(-20, 20, (1,), np.float32), spaces.Discrete(2)


def make(obs_space=BOX, action_space=TWO, seed=1, total_steps=None, **settings):
    return REINFORCE(REINFORCEConfig(**settings), obs_space, action_space, seed=seed, total_steps=total_steps)


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


def episodes(value=(0.0,) * 5):
    """Rewards 1, 2, 3 to an end, then 4, 5 to a cut where the value is 10; `value` is the observation of each row."""
    obs = torch.tensor(value).unsqueeze(1)
    next_obs = torch.tensor([[7.0], [7.0], [7.0], [7.0], [10.0]])
    return Batch(
        obs, torch.tensor([0, 1, 0, 1, 1]), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), next_obs,
        flags(0, 0, 1, 0, 0), flags(0, 0, 0, 0, 1), reset=flags(1, 0, 0, 1, 0),
    )  # fmt: skip


class ValueIsObs(nn.Module):
    """Two actions of equal probability, and a value that is what is seen (0 without a baseline)."""

    recurrent = False

    def __init__(self, critic):
        super().__init__()
        self.logits, self.critic = nn.Parameter(torch.zeros(2)), critic

    def forward(self, obs):
        return self.logits.expand(len(obs), 2), obs[:, 0] * self.critic

    def distribution(self, params):
        return Categorical(params)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    # gamma 0.5: 3, 2 + 3 / 2, 1 + 3.5 / 2; then 5 + 10 / 2, 4 + 10 / 2, or without the cut's value 5, 4 + 5 / 2
    [(True, [2.75, 3.5, 3, 9, 10]), (False, [2.75, 3.5, 3, 6.5, 5])],
)
def test_returns_by_hand(baseline, expected):
    algorithm = make(gamma=0.5, baseline=baseline)
    algorithm.net = ValueIsObs(baseline)
    value, returns = algorithm.returns(episodes((1.0, 2.0, 3.0, 4.0, 5.0)))
    assert returns.tolist() == pytest.approx(expected)
    assert value.tolist() == ([1, 2, 3, 4, 5] if baseline else [0] * 5)


def test_without_discount_returns_are_sums():
    algorithm = make(gamma=1.0, baseline=False)
    assert algorithm.returns(episodes())[1].tolist() == pytest.approx([6, 5, 3, 9, 5])


def test_loss_and_gradient_by_hand():
    # actions 0, 1 of probability 1/2 with advantages 3 and 1: -(3 + 1) log(1/2) / 2; the gradient by the logits of
    # -A log p is A (p - chosen): (3 (-1/2) + 1 (1/2), 3 (1/2) - 1 (1/2)) / 2 = (-1/2, 1/2)
    algorithm = make(value_coef=0.5)
    algorithm.net = net = ValueIsObs(True)
    advantage, target = torch.tensor([3.0, 1.0]), torch.tensor([4.0, 0.0])
    coefs = {"entropy_coef": torch.tensor(0.1)}
    rows = RolloutRows(torch.tensor([[1.0], [1.0]]), torch.tensor([0, 1]), advantage, target)
    loss, metrics = algorithm.loss(coefs, rows)
    assert metrics["train/policy_loss"].item() == pytest.approx(2 * math.log(2))
    assert metrics["train/value_loss"].item() == pytest.approx((9 + 1) / 2)
    assert loss.item() == pytest.approx(2 * math.log(2) + 0.5 * 5 - 0.1 * math.log(2))
    (grad,) = torch.autograd.grad(metrics["train/policy_loss"], net.logits)
    assert grad.tolist() == pytest.approx([-0.5, 0.5])


def test_the_update_is_given_returns_less_the_baseline(monkeypatch):
    algorithm = make(gamma=0.5, normalize_advantage=False)
    algorithm.net = ValueIsObs(True)
    algorithm.net.reset_noise = algorithm.net.update_norm = lambda _: None
    seen = []
    monkeypatch.setattr(
        algorithm.optimizer, "gradient_step", lambda *args: seen.append(args) or Step({"x": torch.tensor(0.0)})
    )
    algorithm.learn(episodes((1.0, 2.0, 3.0, 4.0, 5.0)))
    _loss, _coefs, rows = seen[0]
    assert rows.advantage.tolist() == pytest.approx([1.75, 1.5, 0, 5, 5])
    assert rows.value_target.tolist() == pytest.approx([2.75, 3.5, 3, 9, 10])


@pytest.mark.parametrize("baseline", [True, False])
def test_a_step_raises_the_probability_of_what_paid(baseline):
    algorithm = make(baseline=baseline, lr=1e-2, normalize_advantage=True)
    batch = episodes((0.5,) * 5)
    batch.reward = (batch.action == 1).float()
    batch.next_obs = batch.obs
    before = algorithm.net(batch.obs)[0].softmax(1)[0, 1].item()
    metrics = [algorithm.learn(batch).metrics for _ in range(10)][-1]
    assert algorithm.net(batch.obs)[0].softmax(1)[0, 1].item() > before + 0.05
    assert ("train/value_loss" in metrics) == baseline
    assert all(math.isfinite(float(value)) for value in metrics.values())


def test_it_asks_for_whole_episodes():
    spec = REINFORCE.data(REINFORCEConfig(batch_size=3, n_steps=2))
    assert (spec.kind, spec.batch_size, spec.n_steps) == ("episode", 3, 2)


@pytest.mark.parametrize("settings", [{}, {"baseline": False}, {"normalize_obs": True, "normalize_reward": True}])
def test_state_round_trip_continues_identically(settings):
    first, second = make(lr=1e-2, **settings), make(lr=1e-2, seed=9, **settings)
    first.learn(episodes((1.0, 2.0, 3.0, 4.0, 5.0)))
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        one, other = (algorithm.learn(episodes()).metrics for algorithm in (first, second))
        assert {name: float(value) for name, value in one.items()} == {name: float(v) for name, v in other.items()}


def test_memory_is_refused():
    with pytest.raises(UserError, match="REINFORCE learns from single steps"):
        make(merge_layers=[{"layer_type": "gru", "layer_size": 4}])

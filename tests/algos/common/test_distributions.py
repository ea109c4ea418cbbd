"""Distributions against torch.distributions, by frequency and under the compiler."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.distributions import (
    FORBIDDEN,
    Bernoulli,
    Categorical,
    DiagGaussian,
    MultiCategorical,
    head_size,
    make_distribution,
    sizes_of,
)
from algos.common.errors import UserError

LEADS = [(4,), (4, 3)]


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def reference_multi(logits, nvec):
    return [torch.distributions.Categorical(logits=part) for part in logits.split(nvec, -1)]


@pytest.mark.parametrize("lead", LEADS)
def test_categorical_equals_torch(lead):
    logits = torch.randn(*lead, 5) * 3
    ours, theirs = Categorical(logits), torch.distributions.Categorical(logits=logits)
    action = ours.sample(stream())
    assert action.shape == lead and action.dtype == torch.int64
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), logits.argmax(-1))


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("log_std_lead", [False, True])
def test_gaussian_equals_torch(lead, log_std_lead):
    mean = torch.randn(*lead, 3)
    log_std = torch.randn(*lead, 3) if log_std_lead else torch.randn(3)
    ours = DiagGaussian(mean, log_std)
    theirs = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp().expand_as(mean)), 1)
    action = ours.sample(stream())
    assert action.shape == mean.shape
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), mean)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("nvec", [[3, 3], [2, 4, 1], [5]])
def test_multi_categorical_equals_torch(lead, nvec):
    logits = (torch.randn(*lead, sum(nvec)) * 3).requires_grad_()
    ours, theirs = MultiCategorical(logits, nvec), reference_multi(logits, nvec)
    action = ours.sample(stream())
    assert action.shape == (*lead, len(nvec)) and (action < torch.tensor(nvec)).all()
    expected = sum(d.log_prob(a) for d, a in zip(theirs, action.unbind(-1), strict=True))
    torch.testing.assert_close(ours.log_prob(action), expected)
    torch.testing.assert_close(ours.entropy(), sum(d.entropy() for d in theirs))
    assert torch.equal(ours.mode(), torch.stack([d.probs.argmax(-1) for d in theirs], -1))
    (grad,) = torch.autograd.grad(ours.entropy().sum() + ours.log_prob(action).sum(), logits)
    (expected,) = torch.autograd.grad(sum(d.entropy().sum() for d in theirs) + expected.sum(), logits)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("lead", LEADS)
def test_bernoulli_equals_torch(lead):
    logits = torch.randn(*lead, 3) * 3
    ours = Bernoulli(logits)
    theirs = torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 1)
    action = ours.sample(stream())
    assert action.shape == logits.shape and action.dtype == torch.int8
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action.float()))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), (logits > 0).to(torch.int8))


def test_bernoulli_frequencies():
    probs = torch.tensor([0.1, 0.5, 0.9])
    found = Bernoulli(probs.logit().expand(50_000, 3)).sample(stream(4)).float()
    assert (found.mean(0) - probs).abs().max() < 0.01
    assert found.T.corrcoef().fill_diagonal_(0).abs().max() < 0.02  # independent


@pytest.mark.parametrize("nvec", [None, [2, 3], [3, 2]])
def test_forbidden_choices_count_for_nothing(nvec):
    # p = 1/2, 1/2 of what is left: as if there were no third action
    logits = torch.tensor([[0.0, 0.0, FORBIDDEN, 1.0, 1.0]]).requires_grad_()
    dist = Categorical(logits[:, :3]) if nvec is None else MultiCategorical(logits, nvec)
    if nvec == [2, 3]:  # the first two, and of the other three the last two
        assert dist.entropy().item() == pytest.approx(2 * math.log(2))
        assert dist.log_prob(torch.tensor([[0, 0]])).item() < -1e8
    elif nvec == [3, 2]:
        assert dist.entropy().item() == pytest.approx(2 * math.log(2))
    else:
        assert dist.entropy().item() == pytest.approx(math.log(2))
        assert dist.log_prob(torch.tensor([1])).item() == pytest.approx(-math.log(2))
    (grad,) = torch.autograd.grad(dist.entropy().sum(), logits)
    assert torch.isfinite(grad).all() and grad[0, 2] == 0


def test_by_hand():
    even = Categorical(torch.tensor([[math.log(3.0), 0.0]]))  # p = 3/4, 1/4
    assert even.log_prob(torch.tensor([1])).item() == pytest.approx(math.log(0.25))
    assert even.entropy().item() == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    normal = DiagGaussian(torch.tensor([[1.0, 0.0]]), torch.tensor([math.log(2.0), 0.0]))
    # a = (3, 0): -1/2 (2 / 2)^2 - log 2 - log(2 pi)
    log_prob = normal.log_prob(torch.tensor([[3.0, 0.0]])).item()
    assert log_prob == pytest.approx(-0.5 - math.log(2) - math.log(2 * math.pi))
    assert normal.entropy().item() == pytest.approx(math.log(2) + math.log(2 * math.pi * math.e))


def test_categorical_frequencies():
    probs, n = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0]), 100_000
    logits = probs.log().clamp(min=-1e9).expand(n, 5)
    counts = Categorical(logits).sample(stream(1)).bincount(minlength=5)
    # four standard deviations of a binomial share
    assert ((counts / n - probs).abs() <= 4 * (probs * (1 - probs) / n).sqrt()).all()
    assert counts[4] == 0


def test_multi_categorical_frequencies_are_independent():
    logits = torch.tensor([0.7, 0.3, 0.2, 0.5, 0.3]).log().expand(50_000, 5)
    action = MultiCategorical(logits, [2, 3]).sample(stream(2))
    joint = (action[:, 0] * 3 + action[:, 1]).bincount(minlength=6) / 50_000
    expected = torch.outer(torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.5, 0.3])).flatten()
    assert (joint - expected).abs().max() < 0.01


def test_gaussian_moments():
    mean, std = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    x = DiagGaussian(mean.expand(100_000, 2), std.log()).sample(stream(3))
    torch.testing.assert_close(x.mean(0), mean, atol=0.04, rtol=0)
    torch.testing.assert_close(x.std(0), std, atol=0, rtol=0.02)


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(5), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (5,), np.float32), spaces.MultiBinary(5)],
)
def test_only_the_generator_is_drawn_from(space):
    dist = make_distribution(space, torch.randn(64, 5), torch.zeros(5))
    before = torch.get_rng_state()
    first, again, other = dist.sample(stream(1)), dist.sample(stream(1)), dist.sample(stream(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_no_gradient_through_a_sample():
    mean, log_std = torch.zeros(3, 2, requires_grad=True), torch.zeros(2, requires_grad=True)
    assert not DiagGaussian(mean, log_std).sample(stream()).requires_grad


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(5), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (5,), np.float32), spaces.MultiBinary(5)],
)
def test_compiles_whole(space):
    sizes = sizes_of(space)

    def loss(params, log_std, action):
        dist = make_distribution(space, params, log_std, sizes)
        return dist.log_prob(action) + dist.entropy()

    params, log_std = torch.randn(4, 5), torch.zeros(5)
    action = make_distribution(space, params, log_std).sample(stream())
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(params, log_std, action), loss(params, log_std, action))


def test_spaces():
    assert head_size(spaces.Discrete(3)) == 3
    assert head_size(spaces.Box(-1, 1, (2, 3))) == 6
    assert head_size(spaces.MultiDiscrete([2, 5])) == 7
    with pytest.raises(ValueError, match="log_std"):
        make_distribution(spaces.Box(-1, 1, (2,)), torch.zeros(1, 2))
    assert head_size(spaces.MultiBinary([2, 3])) == 6
    for space in (spaces.Text(3), spaces.MultiDiscrete([[2, 2]])):
        with pytest.raises(UserError, match="no distribution over"):
            head_size(space)
        with pytest.raises(UserError, match="no distribution over"):
            make_distribution(space, torch.zeros(1, 4))

"""SAC: losses against NumPy; the temperature, of discrete SAC and TQC too."""

import math

import numpy as np
import pytest
import torch
from replay_parts import arrays, critic_loss, gaussian_of, make, noises, q_of, random_batch, trained, weights


def test_sac_s_losses():
    algorithm = trained("SAC")
    batch = random_batch(algorithm)
    next_noise, noise = noises(algorithm)
    obs, action, reward, next_obs, live = arrays(batch)
    next_action, next_log_prob = gaussian_of(algorithm.actor, next_obs, next_noise.numpy())
    soft_value = q_of(algorithm.target_critic, next_obs, next_action).min(0)[:, 0] - 0.3 * next_log_prob
    target = reward + 0.9 * live * soft_value
    errors = q_of(algorithm.critic, obs, action)[:, :, 0] - target
    assert critic_loss(algorithm, batch, next_noise)[0].item() == pytest.approx((errors**2).sum(0).mean(), rel=1e-5)

    new_action, log_prob = gaussian_of(algorithm.actor, obs, noise.numpy())
    expected = 0.3 * log_prob - q_of(algorithm.critic, obs, new_action).min(0)[:, 0]
    loss, _, entropy = algorithm.actor_loss(batch.obs, noise)
    assert loss.item() == pytest.approx(expected.mean(), rel=1e-5)
    np.testing.assert_allclose(entropy.detach(), -log_prob, rtol=1e-4, atol=1e-5)


def test_sac_s_actor_is_reparameterised():
    """The slope that reaches a weight is that of the loss with the noise held fixed, by finite differences."""
    algorithm = trained("SAC")
    obs, noise = random_batch(algorithm).obs, algorithm.normal(32)
    loss, *_ = algorithm.actor_loss(obs, noise)
    bias = algorithm.actor.heads[0].body[-1].bias
    slope = torch.autograd.grad(loss, bias)[0]
    with torch.no_grad():
        for index in range(4):  # two means, two log standard deviations
            ends = []
            for move in (1e-2, -2e-2, 1e-2):
                bias[index] += move
                ends.append(algorithm.actor_loss(obs, noise)[0].item())
            assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(slope[index].item(), abs=1e-3)
            assert abs(slope[index]) > 2e-3


@pytest.mark.parametrize("name", ["SAC", "TQC", "SAC_D"])
def test_alpha_falls_while_there_is_more_entropy_than_the_target(name):
    algorithm = make(name, alpha=0.5, alpha_lr=0.01)
    assert algorithm.temperature().item() == pytest.approx(0.5)
    entropy = torch.tensor([1.0, 4.0])
    loss, _ = algorithm.alpha_loss(entropy)
    assert loss.item() == pytest.approx(math.log(0.5) * (2.5 - algorithm.target_entropy), rel=1e-6)
    target = algorithm.target_entropy
    algorithm.alpha_optimizer.set_lr(0.01)
    for above, sign in ((1.0, -1), (-1.0, 1)):
        before = algorithm.temperature.log_alpha.item()
        for _ in range(20):
            algorithm.alpha_optimizer.gradient_step(algorithm.alpha_loss, torch.full((4,), target + above))
        assert (algorithm.temperature.log_alpha.item() - before) * sign > 0


def test_target_entropies():
    assert make("SAC").target_entropy == make("TQC").target_entropy == -2  # two action dimensions
    assert make("SAC", target_entropy=-0.5).target_entropy == -0.5
    assert make("SAC_D", entropy_share=0.5).target_entropy == pytest.approx(0.5 * math.log(3))


@pytest.mark.parametrize("name", ["SAC", "TQC", "SAC_D"])
def test_alpha_is_learned_only_if_asked(name):
    fixed, learned = make(name, auto_alpha=False, alpha=0.2), make(name, alpha=0.2)
    for algorithm in (fixed, learned):
        metrics = algorithm.learn(random_batch(algorithm)).metrics
        assert ("train/alpha_loss" in metrics) == (algorithm is learned)
        assert metrics["train/alpha"].item() == pytest.approx(0.2)
    assert fixed.temperature().item() == pytest.approx(0.2) != learned.temperature().item()


def test_the_targets_follow():
    algorithm = make("SAC", tau=0.25)
    before = weights(algorithm.target_critic)
    algorithm.learn(random_batch(algorithm))
    torch.testing.assert_close(weights(algorithm.target_critic), 0.75 * before + 0.25 * weights(algorithm.critic))

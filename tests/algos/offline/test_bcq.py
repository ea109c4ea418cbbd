"""BCQ: each loss against NumPy, and how its policy chooses."""

import numpy as np
import pytest
import torch
from offline_parts import make, random_batch
from replay_parts import arrays, critic_loss, linear_of, mlp, q_of


@pytest.fixture
def algorithm():
    """One whose targets and networks are apart."""
    made = make("BCQ", target_samples=3, n_samples=6, phi=0.1, soft_min=0.75, tau=0.3, normalize_obs=False)
    made.learn(random_batch(made, seed=5))
    return made


def decoded(algorithm, obs, latent):
    return np.tanh(mlp(linear_of(algorithm.vae.decoder), np.concatenate([obs, latent], 1)))


def perturbed(actor, obs, action):
    change = np.tanh(mlp(linear_of(actor), np.concatenate([obs, action], 1)))
    return np.clip(action + 0.1 * change, -1, 1)


def test_the_vae_reconstructs_near_a_normal(algorithm):
    batch = random_batch(algorithm, n=4)
    obs, action, *_ = arrays(batch)
    noise = algorithm.latent(4)
    mean, log_std = np.split(mlp(linear_of(algorithm.vae.encoder), np.concatenate([obs, action], 1)), 2, axis=1)
    latent = mean + np.exp(log_std) * noise.numpy()
    divergence = 0.5 * (mean**2 + np.exp(2 * log_std) - 2 * log_std - 1)
    expected = ((decoded(algorithm, obs, latent) - action) ** 2).mean() + 0.5 * divergence.mean()
    assert algorithm.vae_loss(batch.obs, batch.action, noise)[0].item() == pytest.approx(expected, abs=1e-6)


def test_the_critics_regress_on_the_best_generated_action(algorithm):
    batch = random_batch(algorithm, n=4)
    noise = algorithm.next_noise(4)
    assert noise.shape == (4, 3, 4) and noise.abs().max() <= 0.5
    obs, action, reward, next_obs, live = arrays(batch)
    values = []
    for k in range(3):
        next_action = perturbed(algorithm.target_actor, next_obs, decoded(algorithm, next_obs, noise[:, k].numpy()))
        q_value = q_of(algorithm.target_critic, next_obs, next_action)[:, :, 0]
        values.append(0.75 * q_value.min(0) + 0.25 * q_value.max(0))
    errors = q_of(algorithm.critic, obs, action)[:, :, 0] - (reward + 0.9 * live * np.max(values, 0))
    assert critic_loss(algorithm, batch, noise)[0].item() == pytest.approx((errors**2).sum(0).mean(), abs=1e-6)


def test_the_actor_climbs_the_first_critic_from_generated_actions(algorithm):
    batch, noise = random_batch(algorithm, n=4), algorithm.action_noise(4)
    obs = batch.obs.numpy()
    action = perturbed(algorithm.actor, obs, decoded(algorithm, obs, noise.numpy()))
    loss, _ = algorithm.actor_loss(batch.obs, noise)
    assert loss.item() == pytest.approx(-q_of(algorithm.critic, obs, action)[0].mean(), abs=1e-6)


def test_the_greedy_action_is_the_best_of_the_generated_ones(algorithm):
    obs = random_batch(algorithm, n=4).obs.numpy()
    found, _, _ = algorithm.policy.act(obs, (), explore=False, step=0)
    candidates = [
        perturbed(algorithm.actor, obs, decoded(algorithm, obs, np.tile(latent, (4, 1))))
        for latent in algorithm.vae.latents.numpy()
    ]
    assert len(candidates) == 6
    values = np.stack([q_of(algorithm.critic, obs, action)[0][:, 0] for action in candidates])
    best = np.stack(candidates)[values.argmax(0), np.arange(4)]
    np.testing.assert_allclose(found, best, atol=1e-6)


def test_all_targets_follow(algorithm):
    pairs = [(algorithm.target_actor, algorithm.actor), (algorithm.target_critic, algorithm.critic)]
    before = [[p.clone() for p in target.parameters()] for target, _ in pairs]
    algorithm.learn(random_batch(algorithm))
    for old, (target, net) in zip(before, pairs, strict=True):
        for one, now, online in zip(old, target.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(now, 0.7 * one + 0.3 * online)

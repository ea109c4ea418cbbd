"""DDPG: losses and targets against NumPy, of TD3 too."""

import numpy as np
import pytest
import torch
from replay_parts import arrays, critic_loss, linear_of, make, mlp, q_of, random_batch, weights


def mu_of(actor, obs):
    return np.tanh(mlp(linear_of(actor), obs))


@pytest.mark.parametrize("name", ["DDPG", "TD3"])
def test_the_critics_regress_on_the_targets_value(name):
    algorithm = make(name)
    algorithm.learn(random_batch(algorithm, seed=5))  # targets and networks are apart
    batch = random_batch(algorithm)
    noise = algorithm.next_noise(32)
    obs, action, reward, next_obs, live = arrays(batch)
    next_action = mu_of(algorithm.target_actor, next_obs)
    if name == "TD3":
        next_action = np.clip(next_action + noise.numpy(), -1, 1)
    target = reward + 0.9 * live * q_of(algorithm.target_critic, next_obs, next_action).min(0)[:, 0]
    errors = q_of(algorithm.critic, obs, action)[:, :, 0] - target
    loss, metrics, td_error = critic_loss(algorithm, batch, noise)
    assert len(errors) == (1 if name == "DDPG" else 2)
    assert loss.item() == pytest.approx((errors**2).sum(0).mean(), rel=1e-5)
    assert set(metrics) == {"train/critic_loss", "train/mean_q"}
    np.testing.assert_allclose(td_error, np.abs(errors).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["DDPG", "TD3"])
def test_the_actor_climbs_the_first_critic(name):
    algorithm = make(name)
    batch = random_batch(algorithm)
    obs = batch.obs.numpy()
    loss, _ = algorithm.actor_loss(batch.obs, ())
    assert loss.item() == pytest.approx(-q_of(algorithm.critic, obs, mu_of(algorithm.actor, obs))[0].mean(), rel=1e-5)


@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_ddpg_s_targets_follow_both_networks(tau):
    algorithm = make("DDPG", tau=tau)
    pairs = [("target_actor", "actor"), ("target_critic", "critic")]
    before = [weights(getattr(algorithm, target)) for target, _ in pairs]
    algorithm.learn(random_batch(algorithm))
    for old, (target, net) in zip(before, pairs, strict=True):
        new = weights(getattr(algorithm, net))
        assert not torch.equal(old, new)
        torch.testing.assert_close(weights(getattr(algorithm, target)), (1 - tau) * old + tau * new)

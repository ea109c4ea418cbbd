"""SAC for discrete actions: losses against NumPy."""

import numpy as np
import pytest
from replay_parts import arrays, critic_loss, linear_of, mlp, q_of, random_batch, trained


def test_discrete_sac_s_losses():
    algorithm = trained("SAC_D")
    batch = random_batch(algorithm)
    obs, action, reward, next_obs, live = arrays(batch)

    def policy(x):
        odds = np.exp(mlp(linear_of(algorithm.actor), x))
        return odds / odds.sum(1, keepdims=True)

    next_prob, prob = policy(next_obs), policy(obs)
    worth = q_of(algorithm.target_critic, next_obs).min(0) - 0.3 * np.log(next_prob)
    target = reward + 0.9 * live * (next_prob * worth).sum(1)
    values = q_of(algorithm.critic, obs)  # [2, B, 3]
    errors = values[:, np.arange(32), action] - target
    assert critic_loss(algorithm, batch, ())[0].item() == pytest.approx((errors**2).sum(0).mean(), rel=1e-5)

    expected = (prob * (0.3 * np.log(prob) - values.min(0))).sum(1).mean()
    loss, _, entropy = algorithm.actor_loss(batch.obs, ())
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(entropy.detach(), -(prob * np.log(prob)).sum(1), rtol=1e-5)

"""TD3+BC: the actor's loss and its weight against NumPy, the order of updates, models for TD3."""

import numpy as np
import pytest
import torch
from offline_parts import make, random_batch
from replay_parts import linear_of, mlp, q_of, weights
from replay_parts import make as make_online


def test_the_actor_climbs_the_critic_and_stays_near_the_data():
    algorithm = make("TD3_BC", alpha=3.0, normalize_obs=False)
    batch = random_batch(algorithm, n=4)
    obs, action = batch.obs.numpy(), batch.action.numpy()
    mu = np.tanh(mlp(linear_of(algorithm.actor), obs))
    q_value = q_of(algorithm.critic, obs, mu)[0][:, 0]
    scale = algorithm.scale(batch.obs)
    assert scale.item() == pytest.approx(3.0 / np.abs(q_value).mean(), rel=1e-6)
    loss, metrics = algorithm.actor_loss(batch.obs, batch.action, scale)
    distance = ((mu - action) ** 2).mean()
    assert loss.item() == pytest.approx(-3.0 * q_value.mean() / np.abs(q_value).mean() + distance, abs=1e-6)
    assert metrics["train/distance"].item() == pytest.approx(distance, abs=1e-6)


def test_the_actor_learns_with_every_second_update():
    algorithm = make("TD3_BC")
    for update in range(4):
        before = weights(algorithm.actor)
        algorithm.learn(random_batch(algorithm, seed=update))
        assert torch.equal(before, weights(algorithm.actor)) == bool(update % 2)


def test_td3_trains_on_from_its_models():
    algorithm, online = make("TD3_BC"), make_online("TD3", normalize_obs=True, seed=2)
    algorithm.learn(random_batch(algorithm))
    online.load_state_dict(algorithm.state_dict())
    assert torch.equal(weights(online.actor), weights(algorithm.actor))
    online.learn(random_batch(online))

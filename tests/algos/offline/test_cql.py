"""CQL: its losses against NumPy, and models for the online method."""

import numpy as np
import pytest
import torch
from offline_parts import make, random_batch
from replay_parts import arrays, critic_loss, gaussian_of, q_of, weights
from replay_parts import make as make_online


def test_the_critics_are_low_where_there_are_no_data():
    algorithm = make("CQL", n_samples=5, conservative_weight=2.0, normalize_obs=False)
    algorithm.learn(random_batch(algorithm, seed=5))
    batch = random_batch(algorithm, n=4)
    noise = algorithm.next_noise(4)
    obs, action, reward, next_obs, live = arrays(batch)
    next_action, _ = gaussian_of(algorithm.actor, next_obs, noise["next"].numpy())
    target = reward + 0.9 * live * q_of(algorithm.target_critic, next_obs, next_action.astype(np.float32)).min(0)[:, 0]
    q_value = q_of(algorithm.critic, obs, action)[:, :, 0]
    sums = 0.0
    for k in range(5):
        here, there = (
            gaussian_of(algorithm.actor, rows, noise[name][:, k].numpy())
            for rows, name in ((obs, "here"), (next_obs, "there"))
        )
        uniform = noise["uniform"][:, k].numpy(), np.full(4, np.log(0.25))  # two actions in [-1, 1]
        for candidate, log_density in (here, there, uniform):
            q_candidate = q_of(algorithm.critic, obs, candidate.astype(np.float32))[:, :, 0]
            sums = sums + np.exp(q_candidate - log_density)
    gap = np.log(sums / 15) - q_value
    loss, metrics, _ = critic_loss(algorithm, batch, noise)
    assert loss.item() == pytest.approx(((q_value - target) ** 2 + 2.0 * gap).sum(0).mean(), rel=1e-6)
    assert metrics["train/conservative_gap"].item() == pytest.approx(gap.mean(), rel=1e-6)


def test_the_uniform_actions_fill_the_box():
    uniform = make("CQL").next_noise(2000)["uniform"]
    assert uniform.shape == (2000, 10, 2)
    assert uniform.abs().max() <= 1 and uniform.std().item() == pytest.approx(3**-0.5, rel=0.01)


def test_sac_trains_on_from_its_models():
    algorithm, online = make("CQL"), make_online("SAC", normalize_obs=True, seed=2)
    algorithm.learn(random_batch(algorithm))
    online.load_state_dict(algorithm.state_dict())
    assert torch.equal(weights(online.actor), weights(algorithm.actor))
    online.learn(random_batch(online))

"""TQC: losses against NumPy and by hand."""

import numpy as np
import pytest
import torch
from replay_parts import arrays, critic_loss, gaussian_of, heads_of, make, noises, q_of, random_batch, trained


def atoms(critic, *rows):
    """Gives each critic the same quantiles whatever it sees."""
    for layers, row in zip(heads_of(critic), rows, strict=True):
        weight, bias = layers[-1]
        weight.zero_()
        bias.copy_(torch.tensor(row))


def test_tqc_leaves_out_the_highest_of_the_joined_quantiles():
    algorithm = make("TQC", n_quantiles=3, dropped_quantiles=1, alpha=0.5, auto_alpha=False)
    atoms(algorithm.target_critic, [9.0, 1.0, 2.0], [0.0, 8.0, 3.0])
    obs, noise = torch.zeros(1, 3), torch.zeros(1, 2)
    bonus = -0.5 * gaussian_of(algorithm.actor, obs.numpy(), noise.numpy())[1]
    expected = torch.tensor([[0.0, 1.0, 2.0, 3.0]]) + torch.from_numpy(bonus).float()  # both of 8 and 9 are dropped
    torch.testing.assert_close(algorithm.next_value(obs, noise), expected)


def test_tqc_s_loss_by_hand():
    algorithm = make("TQC", n_quantiles=2, dropped_quantiles=1, n_critics=1, gamma=0.5, alpha=1e-9, auto_alpha=False)
    atoms(algorithm.critic, [1.0, 5.0])  # of the quantiles 1/4 and 3/4
    atoms(algorithm.target_critic, [4.0, 100.0])  # 4 is kept
    batch = random_batch(algorithm, n=2)
    batch.reward, batch.terminated = torch.tensor([1.0, 1.0]), torch.tensor([False, True])
    # row 0: target 1 + 0.5 * 4 = 3: errors 2 and -2, huber 1.5 each: 1/4 * 1.5 and |3/4 - 1| * 1.5: mean 0.375
    # row 1: target 1: errors 0 and -4, huber 0 and 3.5: mean (0 + 1/4 * 3.5) / 2 = 0.4375
    loss, metrics, _ = critic_loss(algorithm, batch, torch.zeros(2, 2))
    assert loss.item() == pytest.approx((0.375 + 0.4375) / 2)
    assert metrics["train/mean_q"].item() == pytest.approx(3)


def test_tqc_s_losses():
    algorithm = trained("TQC", n_quantiles=5, dropped_quantiles=2)
    batch = random_batch(algorithm)
    next_noise, noise = noises(algorithm)
    obs, action, reward, next_obs, live = arrays(batch)
    next_action, next_log_prob = gaussian_of(algorithm.actor, next_obs, next_noise.numpy())
    joined = np.concatenate(list(q_of(algorithm.target_critic, next_obs, next_action)), 1)
    kept = np.sort(joined, 1)[:, :6] - 0.3 * next_log_prob[:, None]
    target = reward[:, None] + 0.9 * live[:, None] * kept
    quantiles = q_of(algorithm.critic, obs, action)  # [2, B, 5]
    total = 0.0
    for critic in quantiles:
        for m in range(5):
            q = (2 * m + 1) / 10
            error = target - critic[:, m : m + 1]
            huber = np.where(np.abs(error) <= 1, 0.5 * error**2, np.abs(error) - 0.5)
            total += (np.where(error < 0, 1 - q, q) * huber).mean() / 10
    assert critic_loss(algorithm, batch, next_noise)[0].item() == pytest.approx(total, rel=1e-5)

    new_action, log_prob = gaussian_of(algorithm.actor, obs, noise.numpy())
    expected = 0.3 * log_prob - q_of(algorithm.critic, obs, new_action).mean((0, 2))
    assert algorithm.actor_loss(batch.obs, noise)[0].item() == pytest.approx(expected.mean(), rel=1e-5)

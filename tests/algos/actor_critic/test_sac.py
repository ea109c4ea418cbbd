"""SAC, SAC for discrete actions and TQC: losses against NumPy, the tanh correction, the temperature."""

import math

import numpy as np
import pytest
import torch
from replay_parts import arrays, critic_loss, gaussian_of, make, mlp, noises, q_of, random_batch, weights

from algos.actor_critic.networks import squashed_gaussian


def trained(name, **settings):
    """An algorithm whose targets and networks are apart, and whose alpha is 0.3."""
    algorithm = make(name, alpha=0.3, auto_alpha=False, **settings)
    algorithm.learn(random_batch(algorithm, seed=5))
    return algorithm


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


def test_discrete_sac_s_losses():
    algorithm = trained("SAC_D")
    batch = random_batch(algorithm)
    obs, action, reward, next_obs, live = arrays(batch)

    def policy(x):
        odds = np.exp(mlp(algorithm.actor, x))
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


def atoms(critic, *rows):
    """Gives each critic the same quantiles whatever it sees."""
    for head, row in zip(critic.heads, rows, strict=True):
        head.body[-1].weight.data.zero_()
        head.body[-1].bias.data = torch.tensor(row)


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


def test_the_targets_follow():
    algorithm = make("SAC", tau=0.25)
    before = weights(algorithm.target_critic)
    algorithm.learn(random_batch(algorithm))
    torch.testing.assert_close(weights(algorithm.target_critic), 0.75 * before + 0.25 * weights(algorithm.critic))

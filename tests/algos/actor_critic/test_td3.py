"""TD3: the target by hand, its noise, the order of the updates."""

import pytest
import torch
from replay_parts import critic_loss, heads_of, make, random_batch, weights

from algos.data import Batch


def linear(critic, *rows):
    """Gives each critic Q(s, a) = row . [s, a]."""
    for ((weight, bias),), row in zip(heads_of(critic), rows, strict=True):
        weight.copy_(torch.tensor([row]))
        bias.zero_()


def test_td3_s_target_by_hand():
    algorithm = make("TD3", critic_layers=[], actor_layers=[], gamma=0.5)
    for actor in (algorithm.actor, algorithm.target_actor):
        actor.heads[0].body[0].weight.data.zero_()
        actor.heads[0].body[0].bias.data = torch.tensor([0.5, -0.5]).atanh()
    linear(algorithm.target_critic, [1.0, 0, 0, 2.0, 4.0], [0.0, 1.0, 0, 3.0, 0])
    next_obs = torch.tensor([[1.0, 2.0, 0.0]]).repeat(3, 1)
    # actions (0.5, -0.5) + noise: (0.5, -0.5): Q = 1 + 1 - 2 = 0 and 2 + 1.5 = 3.5; the lesser 0
    # + (0.4, 0.25) = (0.9, -0.25): 1 + 1.8 - 1 = 1.8 and 2 + 2.7 = 4.7; 1.8
    # + (-0.5, 2) = (0, 1), cut at 1: 1 + 0 + 4 = 5 and 2 + 0; 2
    noise = torch.tensor([[0.0, 0.0], [0.4, 0.25], [-0.5, 2.0]])
    torch.testing.assert_close(algorithm.next_value(next_obs, noise), torch.tensor([0.0, 1.8, 2.0]))
    # Q1 = Q2 = 0 for all: loss 2 (r + 0.5 V)^2; row 0 is 2 * 1, row 1 terminated: 2 * 1, row 2 truncated: 2 * 2^2
    linear(algorithm.critic, [0.0] * 5, [0.0] * 5)
    flags = torch.tensor([False, True, False]), torch.tensor([False, False, True])
    batch = Batch(next_obs, torch.zeros(3, 2), torch.ones(3), next_obs, *flags)
    assert critic_loss(algorithm, batch, noise)[0].item() == pytest.approx(4.0)


def test_td3_s_noise_is_cut():
    noise = make("TD3", target_noise=0.3, target_noise_clip=0.5).next_noise(20_000)
    assert noise.shape == (20_000, 2) and noise.abs().max().item() == pytest.approx(0.5)
    # P(|N| > 5/3) = 0.0956
    assert (noise.abs() == noise.abs().max()).float().mean().item() == pytest.approx(0.0956, abs=0.01)
    inside = noise[noise.abs() < 0.3]
    assert inside.numel() / noise.numel() == pytest.approx(0.6827, abs=0.01)  # P(|N| < 1)


def test_td3_delays_the_actor_and_all_targets():
    algorithm = make("TD3", policy_delay=3, tau=0.5)
    parts = ("actor", "target_actor", "target_critic")
    for update in range(7):
        before = {name: weights(getattr(algorithm, name)) for name in (*parts, "critic")}
        metrics = algorithm.learn(random_batch(algorithm, seed=update)).metrics
        due = update % 3 == 0  # the first update has all the metrics, for the recorder's columns
        assert ("train/actor_loss" in metrics) == due
        assert all(torch.equal(before[name], weights(getattr(algorithm, name))) != due for name in parts)
        assert not torch.equal(before["critic"], weights(algorithm.critic))

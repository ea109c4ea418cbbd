"""GAIL: loss, penalty and rewards by hand, absorbing states, a task of one step, saved state, a missing expert."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.data import Batch
from algos.imitation.config import GAILConfig
from algos.imitation.gail import GAIL
from framework.cli import main

torch.set_num_threads(1)  # small networks
OBS, TWO = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)
LAYERS = [{"layer_type": "linear", "layer_size": 8, "activation": "tanh"}]
SMALL = {"discriminator_layers": LAYERS, "normalize_obs": False, "normalize_reward": False}


def make(action_space=TWO, obs_space=OBS, seed=1, **settings):
    cfg = GAILConfig(**{**SMALL, **settings})
    check_settings(cfg, "algo_cfg")
    return GAIL(cfg, obs_space, action_space, seed=seed, total_steps=1000)


def steps(obs, action, terminated=None):
    """Rows, or a rollout [T, N], in which nothing is rewarded by the environment."""
    shape = action.shape[: 2 if obs.dim() == 3 else 1]
    terminated = torch.zeros(shape, dtype=torch.bool) if terminated is None else terminated
    return Batch(obs, action, torch.zeros(shape), obs, terminated, torch.zeros(shape, dtype=torch.bool))


def rollout(algorithm, obs, terminated=None):
    """A rollout [T, N] of the policy's own actions, with what its policy adds."""
    rows = obs.flatten(0, 1).numpy()
    action, extras, _ = algorithm.policy.act(rows, (), explore=True, step=0)
    extras = algorithm.policy.rollout_extras(rows[None], action[None], {k: v[None] for k, v in extras.items()})
    columns = {name: torch.from_numpy(value[0]).view(obs.shape[:2]) for name, value in extras.items()}
    batch = steps(obs, torch.from_numpy(action).view(obs.shape[:2]), terminated)
    return replace(batch, extras={**columns, "next_value": columns["value"].roll(-1, 0)})


def logits_by_hand(algorithm, x):
    first, last = (layer for layer in algorithm.discriminator.head.body if hasattr(layer, "weight"))
    w1, b1, w2, b2 = (p.detach().numpy().astype(np.float64) for p in (*first.parameters(), *last.parameters()))
    hidden = np.tanh(x @ w1.T + b1)
    return (hidden @ w2.T + b2)[:, 0], ((1 - hidden**2) * w2[0]) @ w1  # and their gradients by x


def joined_by_hand(obs, action, absorbing):
    flag = absorbing.numpy()[:, None]
    return np.concatenate([obs.numpy() * (1 - flag), np.eye(2)[action.numpy()] * (1 - flag), flag], 1)


def test_loss_and_penalty_are_those_of_numpy():
    algorithm = make(gradient_penalty=3.0)
    expert = (torch.randn(4, 3), torch.tensor([0, 1, 1, 0]), torch.tensor([0.0, 0.0, 1.0, 0.0]))
    policy = (torch.randn(4, 3), torch.tensor([1, 1, 0, 0]), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    between = torch.rand(4, 1)
    loss, metrics = algorithm.discriminator_loss(expert, policy, between)
    x, y = joined_by_hand(*expert), joined_by_hand(*policy)
    (of_expert, _), (of_policy, _) = logits_by_hand(algorithm, x), logits_by_hand(algorithm, y)
    cross_entropy = np.log1p(np.exp(-of_expert)).mean() + np.log1p(np.exp(of_policy)).mean()
    share = between.numpy()
    penalty = (logits_by_hand(algorithm, y + share * (x - y))[1] ** 2).sum(1).mean()
    assert metrics["train/discriminator_loss"].item() == pytest.approx(cross_entropy, abs=1e-6)
    assert metrics["train/discriminator_penalty"].item() == pytest.approx(penalty, abs=1e-6)
    assert loss.item() == pytest.approx(cross_entropy + 3 * penalty, abs=1e-6)


@pytest.mark.parametrize("form", ["neg_log", "log", "logit"])
def test_the_forms_of_the_reward_are_those_of_numpy(form):
    algorithm, obs, action = make(reward=form), torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    d = 1 / (1 + np.exp(-logits_by_hand(algorithm, joined_by_hand(obs, action, torch.zeros(4)))[0]))
    expected = {"neg_log": -np.log(1 - d), "log": np.log(d), "logit": np.log(d) - np.log(1 - d)}[form]
    reward = algorithm.imitation_reward(obs, action, torch.zeros(4))
    np.testing.assert_allclose(reward.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("absorbing", [True, False])
def test_what_terminates_is_worth_the_absorbing_state_or_nothing(absorbing):
    algorithm = make(absorbing=absorbing, gamma=0.9)
    terminated = torch.tensor([[False], [True]])
    batch = rollout(algorithm, torch.randn(2, 1, 3), terminated)
    target = algorithm.advantages(batch)[1]
    obs, action = batch.obs[1], batch.action[1]
    reward = algorithm.imitation_reward(obs, action, torch.zeros(1)).item()
    stays = algorithm.imitation_reward(torch.randn(1, 3), torch.tensor([1]), torch.ones(1)).item()  # of any such state
    assert target[1].item() == pytest.approx(reward + (0.9 * stays / 0.1 if absorbing else 0), abs=1e-5)


def test_absorbing_states_are_drawn_as_often_as_they_last():
    """Of 10 steps one terminates; 1 / (1 - 0.9) = 10 steps after it are absorbing: half of all."""
    columns = torch.randn(10, 3), torch.zeros(10, dtype=torch.long), torch.arange(10) == 9
    for absorbing, share in ((True, 0.5), (False, 0.0)):
        flags = make(absorbing=absorbing, gamma=0.9, discriminator_batch_size=4000).draw(*columns)[2]
        assert flags.mean().item() == pytest.approx(share, abs=0.03)


def test_expert_and_policy_share_one_normaliser():
    algorithm = make(normalize_obs=True)
    demos = steps(torch.randn(50, 3) * 4 + 7, torch.zeros(50, dtype=torch.long))
    algorithm.take_demos(demos)
    drawn = algorithm.draw(demos.obs, demos.action, demos.terminated)[0]
    assert drawn.mean().abs() < 0.3 and drawn.std().item() == pytest.approx(1, abs=0.2)
    algorithm.learn(rollout(algorithm, torch.randn(25, 2, 3) * 4 - 7))
    again = algorithm.draw(demos.obs, demos.action, demos.terminated)[0]
    assert again.mean() > 0.5  # the policy's observations, far below, count as much as the expert's


@pytest.mark.parametrize(
    "space", [spaces.Box(-2, 2, (2, 1), np.float32), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)]
)
def test_actions_of_every_space_are_judged(space):
    algorithm = make(space)
    taken = np.stack([space.sample() for _ in range(5)])
    action = torch.from_numpy(algorithm.policy.policy_action(taken))
    numbers = algorithm.discriminator.numbers(action)
    assert numbers.shape[0] == 5 and numbers.min() >= -1 and numbers.max() <= 1
    if isinstance(space, spaces.Box):  # what the environment clips is judged as it was taken
        far = torch.full((1, 2), 9.0)
        torch.testing.assert_close(algorithm.discriminator.numbers(far), torch.ones(1, 2))
    assert algorithm.imitation_reward(torch.randn(5, 3), action, torch.zeros(5)).isfinite().all()


@pytest.mark.parametrize("form", ["neg_log", "log", "logit"])
def test_it_takes_the_experts_action_in_each_of_three_states(form):
    rates = {"lr": 0.01, "discriminator_lr": 0.01, "discriminator_batch_size": 96, "discriminator_epochs": 20}
    algorithm = make(
        reward=form, gamma=0.0, n_epochs=4, batch_size=96, gradient_penalty=0.1, normalize_advantage=False, **rates
    )
    seen = torch.eye(3)
    algorithm.take_demos(steps(seen, torch.tensor([0, 1, 0])))
    for _ in range(25):
        obs = seen.repeat(32, 1).view(32, 3, 3)
        algorithm.learn(rollout(algorithm, obs))
    assert algorithm.policy.act(seen.numpy(), (), explore=False, step=0)[0].tolist() == [0, 1, 0]


def test_saved_and_loaded_it_learns_on_equally():
    one, other = make(), make(seed=2)
    demos = steps(torch.randn(9, 3), torch.zeros(9, dtype=torch.long))
    batch = rollout(one, torch.randn(8, 2, 3))
    for algorithm in (one, other):
        algorithm.take_demos(demos)
    one.learn(batch)
    other.load_state_dict(one.state_dict())
    other.generator.set_state(one.generator.get_state())
    for algorithm in (one, other):
        algorithm.learn(batch)
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_rewards_that_never_end_need_a_discount():
    with pytest.raises(UserError, match=r"algo_cfg\.absorbing=true needs algo_cfg\.gamma < 1"):
        make(gamma=1.0)
    assert math.isfinite(make(gamma=1.0, absorbing=False).stay)


def test_without_an_expert_nothing_starts(tmp_path, capsys):
    assert main(["algo_name=GAIL", "env_cfg.id=CartPole-v1", f"tasks_dir={tmp_path}"]) == 2
    assert "GAIL imitates an expert: name its episodes in algo_cfg.demo_paths" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

"""IQL: each loss against NumPy, for Box and Discrete actions, and models for SAC and SAC_D."""

import numpy as np
import pytest
import torch
from offline_parts import make, random_batch
from replay_parts import BOX, THREE, arrays, critic_loss, linear_of, mlp, q_of, weights
from replay_parts import make as make_online

SPACES = pytest.mark.parametrize("space", [BOX, THREE])


def apart(space, **settings):
    """An algorithm whose targets and networks are apart, and four rows."""
    algorithm = make("IQL", space, normalize_obs=False, **settings)
    algorithm.learn(random_batch(algorithm, seed=5))
    return algorithm, random_batch(algorithm, n=4)


def v_of(algorithm, obs):
    return mlp(linear_of(algorithm.value), obs)[:, 0]


def q_by_critic(critic, obs, action):
    """Q_i(s, a) [n_critics, B]."""
    if action.ndim == 2:
        return q_of(critic, obs, action)[:, :, 0]
    return q_of(critic, obs)[:, np.arange(len(action)), action]


@SPACES
def test_the_critics_regress_on_the_next_state_s_value(space):
    algorithm, batch = apart(space)
    obs, action, reward, next_obs, live = arrays(batch)
    target = reward + 0.9 * live * v_of(algorithm, next_obs)
    errors = q_by_critic(algorithm.critic, obs, action) - target
    loss = critic_loss(algorithm, batch, ())[0].item()
    assert loss == pytest.approx((errors**2).sum(0).mean(), abs=1e-6)


@SPACES
def test_the_value_is_an_expectile_of_the_target_critics(space):
    algorithm, batch = apart(space, expectile=0.8)
    obs, action, *_ = arrays(batch)
    advantage = q_by_critic(algorithm.target_critic, obs, action).min(0) - v_of(algorithm, obs)
    loss, _, by_row = algorithm.value_loss(batch.obs, batch.action)
    np.testing.assert_allclose(by_row.detach(), advantage, atol=1e-6)
    assert loss.item() == pytest.approx((np.where(advantage < 0, 0.2, 0.8) * advantage**2).mean(), abs=1e-6)


@SPACES
def test_the_actor_clones_good_actions_most(space):
    algorithm, batch = apart(space, beta=2.0, max_weight=5.0)
    advantage = np.array([-1.0, 0.0, 0.5, 2.0], np.float32)
    weight = np.array([np.exp(-2.0), 1.0, np.exp(1.0), 5.0])
    out = mlp(linear_of(algorithm.actor), batch.obs.numpy()).astype(np.float64)
    action = batch.action.numpy()
    if space is THREE:
        log_prob = out[np.arange(4), action] - np.log(np.exp(out).sum(1))
    else:
        mean, log_std = np.split(out, 2, axis=1)
        u = np.arctanh(action.astype(np.float64))
        density = np.exp(-0.5 * ((u - mean) / np.exp(log_std)) ** 2) / np.sqrt(2 * np.pi) / np.exp(log_std)
        log_prob = np.log(density / (1 - np.tanh(u) ** 2)).sum(1)
    loss, _ = algorithm.actor_loss(batch.obs, batch.action, torch.from_numpy(advantage))
    assert loss.item() == pytest.approx(-(weight * log_prob).mean(), rel=1e-6)


def test_actions_at_the_bounds_have_a_finite_likelihood():
    algorithm, batch = apart(BOX)
    for bound in (-1.0, 1.0):
        assert algorithm.log_prob(batch.obs, torch.full_like(batch.action, bound)).isfinite().all()


@pytest.mark.parametrize(("space", "online"), [(BOX, "SAC"), (THREE, "SAC_D")])
def test_its_actor_and_critics_are_those_of_the_online_method(space, online):
    algorithm = make("IQL", space)
    algorithm.learn(random_batch(algorithm))
    state, other = algorithm.state_dict(), make_online(online, normalize_obs=True, seed=2)
    for name in ("actor", "critic", "target_critic", "actor_optimizer", "critic_optimizer"):
        other.saved()[name].load_state_dict(state[name])
    assert torch.equal(weights(other.actor), weights(algorithm.actor))

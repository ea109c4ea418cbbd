"""CQL and BCQ for Discrete actions: each loss against NumPy, the actions that BCQ allows, models for DQN."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from offline_parts import make, random_batch
from replay_parts import THREE, arrays, linear_of, mlp, weights
from scipy.special import log_softmax, logsumexp

from algos.common.masks import FORBIDDEN
from algos.value.config import DQNConfig
from algos.value.dqn import DQN


def apart(name, **settings):
    """An algorithm whose target and network are apart, and four rows."""
    algorithm = make(name, tau=0.3, normalize_obs=False, **settings)
    algorithm.learn(random_batch(algorithm, seed=5))
    return algorithm, random_batch(algorithm, n=4)


def td_errors(algorithm, batch, next_action):
    """r + gamma Q_target(s', a') - Q(s, a)."""
    obs, action, reward, next_obs, live = arrays(batch)
    q_value = mlp(linear_of(algorithm.q_net), obs)[range(4), action]
    return reward + 0.9 * live * mlp(linear_of(algorithm.target_net), next_obs)[range(4), next_action] - q_value


def test_cql_values_no_action_above_the_data_s():
    algorithm, batch = apart("CQL_D", conservative_weight=2.0)
    obs, action, _, next_obs, _ = arrays(batch)
    q_values = mlp(linear_of(algorithm.q_net), obs)
    errors = td_errors(algorithm, batch, mlp(linear_of(algorithm.q_net), next_obs).argmax(1))
    gap = logsumexp(q_values, 1) - q_values[range(4), action]
    loss = algorithm.loss(*algorithm.columns(batch))[0].item()
    assert loss == pytest.approx((errors**2 + 2.0 * gap).mean(), abs=1e-6)


def test_bcq_s_target_takes_likely_actions_only():
    algorithm, batch = apart("BCQ_D", threshold=0.9)
    next_obs = batch.next_obs.numpy()
    log_prob = log_softmax(mlp(linear_of(algorithm.behaviour), next_obs), 1)
    likely = np.exp(log_prob - log_prob.max(1, keepdims=True)) >= 0.9
    assert 4 <= likely.sum() < 12
    q_values = np.where(likely, mlp(linear_of(algorithm.q_net), next_obs), -np.inf)
    errors = td_errors(algorithm, batch, q_values.argmax(1))
    assert algorithm.loss(*algorithm.columns(batch))[0].item() == pytest.approx((errors**2).mean(), abs=1e-6)
    greedy, _, _ = algorithm.policy.act(next_obs, (), explore=False, step=0)
    np.testing.assert_array_equal(greedy, q_values.argmax(1))


def test_bcq_clones_the_data_s_policy():
    algorithm, batch = apart("BCQ_D")
    obs, action, *_ = arrays(batch)
    logits = mlp(linear_of(algorithm.behaviour), obs)
    expected = -log_softmax(logits, 1)[range(4), action].mean() + 0.01 * (logits**2).mean()
    assert algorithm.cloning_loss(batch.obs, batch.action)[0].item() == pytest.approx(expected, abs=1e-6)


def test_without_a_threshold_bcq_is_double_dqn():
    algorithm, batch = apart("BCQ_D", threshold=0.0)
    next_q = mlp(linear_of(algorithm.q_net), batch.next_obs.numpy())
    errors = td_errors(algorithm, batch, next_q.argmax(1))
    assert algorithm.loss(*algorithm.columns(batch))[0].item() == pytest.approx((errors**2).mean(), abs=1e-6)


@pytest.mark.parametrize("name", ["CQL_D", "BCQ_D", "IQL"])
def test_masks_are_heeded(name):
    space = spaces.Dict({"obs": spaces.Box(-1, 1, (3,), np.float32), "action_mask": spaces.MultiBinary(3)})
    algorithm = make(name, THREE, obs_space=space, normalize_obs=False)
    batch = random_batch(algorithm)
    mask = torch.ones(32, 3, dtype=torch.int8)
    mask[torch.arange(32), (batch.action + 1) % 3] = 0
    obs = {"obs": batch.obs, "action_mask": mask}
    batch.obs, batch.next_obs = obs, {"obs": batch.next_obs, "action_mask": mask}
    metrics = algorithm.learn(batch).metrics
    assert all(abs(float(value)) < -1e-3 * FORBIDDEN for value in metrics.values())
    for explore in (False, True):
        rows = {key: value.numpy() for key, value in obs.items()}
        action, _, _ = algorithm.policy.act(rows, (), explore=explore, step=0)
        assert mask[torch.arange(32), torch.from_numpy(action)].all()


@pytest.mark.parametrize("name", ["CQL_D", "BCQ_D"])
def test_dqn_trains_on_from_their_models(name):
    algorithm = make(name)
    algorithm.learn(random_batch(algorithm))
    layers = algorithm.cfg.value_layers
    online = DQN(DQNConfig(value_layers=layers, normalize_obs=True), algorithm.obs_space, THREE, seed=2)
    online.load_state_dict(algorithm.state_dict())
    assert torch.equal(weights(online.q_net), weights(algorithm.q_net))
    online.learn(random_batch(online))

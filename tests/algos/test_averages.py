"""Averages of a policy's weights, of every actor-critic: by hand, what has them, and what goes on without them."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from on_policy_parts import rollout
from replay_parts import MEMORYLESS, make, random_batch, weights

from algos.export.module import ExportedPolicy
from algos.registry import get_algorithm, get_config_class

RATE = 0.3


@pytest.mark.parametrize("name", MEMORYLESS)
def test_the_average_by_hand(name):
    algorithm, plain = make(name, average_weights=RATE), make(name)
    expected = weights(algorithm.policy.net)
    for update in range(4):
        for one in (algorithm, plain):
            one.learn(random_batch(one, seed=update))
        expected = (1 - RATE) * expected + RATE * weights(algorithm.policy.net)
    torch.testing.assert_close(weights(algorithm.evaluated.net), expected)
    assert torch.equal(weights(algorithm.policy.net), weights(plain.policy.net))  # training is what it was
    assert plain.evaluated is plain.policy


def test_the_average_is_saved_loaded_and_exported():
    algorithm = make("SAC", average_weights=RATE, normalize_obs=True)
    batch = random_batch(algorithm)
    for _ in range(3):
        algorithm.learn(batch)
    obs, state = batch.obs.numpy(), copy.deepcopy(algorithm.state_dict())

    def greedy(policy):
        return policy.act(obs, (), explore=False, step=0)[0]

    average = greedy(algorithm.evaluated)
    assert not np.array_equal(average, greedy(algorithm.policy))
    exported = ExportedPolicy(algorithm.evaluated, algorithm.obs_space)(batch.obs)[0].numpy()
    np.testing.assert_allclose(exported, algorithm.policy.env_action(average), atol=1e-6)
    again = make("SAC", average_weights=RATE, normalize_obs=True, seed=5)
    again.load_state_dict(state)
    assert np.array_equal(greedy(again.evaluated), average)
    assert np.array_equal(greedy(again.policy), greedy(algorithm.policy))
    without = make("SAC", normalize_obs=True, seed=5)
    without.load_state_dict(state)
    assert np.array_equal(greedy(without.policy), average)


def test_a_model_without_an_average_begins_one():
    plain, algorithm = make("TD3"), make("TD3", average_weights=RATE, seed=5)
    plain.learn(random_batch(plain))
    algorithm.load_state_dict(copy.deepcopy(plain.state_dict()))
    assert torch.equal(weights(algorithm.evaluated.net), weights(plain.policy.net))


def test_statistics_of_observations_are_the_policy_s():
    algorithm = make("SAC", average_weights=RATE, normalize_obs=True)
    algorithm.learn(random_batch(algorithm))
    assert algorithm.evaluated.net.norm is algorithm.policy.net.norm
    assert algorithm.policy.net.norm.norms[0].count > 0


@pytest.mark.parametrize("name", ["A2C", "PPO"])
def test_on_policy_each_minibatch_counts(name, monkeypatch):
    settings = {"n_epochs": 2, "batch_size": 10} if name == "PPO" else {}
    cfg = get_config_class(name)(average_weights=RATE, **settings)
    box, two = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)
    algorithm = get_algorithm(name)(cfg, box, two, seed=1)
    expected, seen = weights(algorithm.policy.net), []
    step = algorithm.optimizer.gradient_step

    def watched(*inputs):
        done = step(*inputs)
        seen.append(weights(algorithm.policy.net))
        return done

    monkeypatch.setattr(algorithm.optimizer, "gradient_step", watched)
    algorithm.learn(rollout(algorithm, torch.Generator().manual_seed(0)))
    assert len(seen) == (4 if name == "PPO" else 1)
    for one in seen:
        expected = (1 - RATE) * expected + RATE * one
    torch.testing.assert_close(weights(algorithm.evaluated.net), expected)
    assert algorithm.state_dict()["average"].keys() == algorithm.state_dict()["net"].keys()

"""Normalised observations and rewards of methods that replay: shared statistics, saved, frozen when evaluated."""

import numpy as np
import pytest
import torch

from algos.common.trees import tree_leaves
from framework import Experiment

SMALL = {"batch_size": 16, "learning_starts": 16, "normalize_obs": True, "normalize_reward": True}
METHODS = [
    ("DQN", "CartPole-v1", {}),
    ("C51", "CartPole-v1", {"v_min": -10.0, "v_max": 10.0}),
    ("QRDQN", "CartPole-v1", {}),
    ("DRQN", "CartPole-v1", {"sequence_length": 4, "train_freq": 8, "batch_size": 4}),
    ("SAC_D", "CartPole-v1", {}),
    ("SAC", "Pendulum-v1", {}),
    ("TD3", "Pendulum-v1", {"n_step": 3, "buffer_type": "PER_QUE"}),
    ("TQC", "Pendulum-v1", {}),
]


def experiment(name, env_id, settings, **general):
    own = {f"algo_cfg__{key}": value for key, value in (SMALL | settings).items()}
    return Experiment(name, env_id, **{"max_env_step": 60, "online_eval": False, "save_fig": False} | own | general)


@pytest.mark.parametrize(("name", "env_id", "settings"), METHODS)
def test_all_networks_share_statistics_that_acting_leaves_alone(name, env_id, settings):
    run = experiment(name, env_id, settings)
    run.train()
    algorithm = run.algorithm
    norm = algorithm.policy.net.norm
    others = [algorithm.target_net] if hasattr(algorithm, "q_net") else [algorithm.critic, algorithm.target_critic]
    assert all(other.norm is norm for other in others)
    before = [leaf.clone() for leaf in norm.state_dict().values()]
    assert float(before[-1]) > 0
    assert np.abs(before[0].numpy()).max() > 0
    run.evaluate(1)
    assert all(torch.equal(one, other) for one, other in zip(before, norm.state_dict().values(), strict=True))
    fresh = experiment(name, env_id, settings).algorithm
    fresh.load_state_dict(algorithm.state_dict())
    kept = fresh.policy.net.norm.state_dict()
    assert all(torch.equal(one, kept[key]) for key, one in norm.state_dict().items())


def test_a_resumed_run_equals_the_uninterrupted_one():
    whole = experiment("SAC", "Pendulum-v1", {}, seed=3)
    whole.train()
    half = experiment("SAC", "Pendulum-v1", {}, seed=3, max_env_step=30)
    half.train()
    resumed = Experiment(resume=str(half.folder.path), max_env_step=60)
    resumed.train()
    pairs = zip(tree_leaves(whole.algorithm.state_dict()), tree_leaves(resumed.algorithm.state_dict()), strict=True)
    assert all(torch.equal(torch.as_tensor(one), torch.as_tensor(other)) for one, other in pairs)

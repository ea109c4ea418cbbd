"""What all offline methods do alike: their data, statistics, rewards and saved state."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from offline_parts import KINDS, make, random_batch
from replay_parts import BOX, THREE

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.common.trees import tree_leaves
from algos.networks.entries import Custom
from algos.registry import get_config_class


def norm_of(algorithm):
    return algorithm.policy.net.norm.norms[0]


def state_of(algorithm):
    return [leaf for leaf in tree_leaves(algorithm.state_dict()) if isinstance(leaf, torch.Tensor)]


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_it_learns_from_a_dataset_alone(name, space):
    spec = make(name, space, batch_size=7).data(get_config_class(name)(batch_size=7))
    assert spec.offline and spec.batch_size == 7
    idle = {"buffer_size", "buffer_type", "learning_starts", "random_steps", "train_freq", "gradient_steps", "n_step"}
    idle |= {"exploration_noise", "noise_correlation", "epsilon_start", "normalize_reward", "sequence_length"}
    assert not idle & set(vars(get_config_class(name)()))


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_observations_are_normalised_by_the_whole_dataset_and_nothing_else(name, space):
    algorithm = make(name, space)
    obs = 3 + 2 * torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    algorithm.take_statistics([obs[:60], obs[60:]])
    algorithm.learn(random_batch(algorithm))
    norm = norm_of(algorithm)
    torch.testing.assert_close(norm.mean, obs.mean(0))
    torch.testing.assert_close(norm.std, obs.std(0, correction=0))
    assert make(name, space, normalize_obs=False).policy.net.norm is None


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_pictures_need_no_other_setting(name, space):
    """Nothing of theirs is normalised by a mean and a deviation, which is what the default does with floats."""
    pictures = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    algorithm = make(name, space, obs_space=pictures)
    assert algorithm.policy.net.norm is None
    shown = torch.from_numpy(np.stack([pictures.sample() for _ in range(4)]))
    algorithm.take_statistics([shown])
    batch = random_batch(algorithm, n=4)
    assert algorithm.learn(replace(batch, obs=shown, next_obs=shown)).metrics


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_rewards_are_scaled_and_shifted(name, space):
    scaled, plain = make(name, space, reward_scale=0.5, reward_shift=-1.0), make(name, space)
    batch = random_batch(plain)
    scaled.learn(batch)
    plain.learn(replace(batch, reward=0.5 * batch.reward - 1))
    for one, other in zip(state_of(scaled), state_of(plain), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_a_loaded_state_learns_on_as_the_saved_one(name, space):
    first, second = make(name, space), make(name, space, seed=2)
    first.learn(random_batch(first))
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())
    for algorithm in (first, second):
        for seed in (1, 2):
            algorithm.learn(random_batch(algorithm, seed=seed))
    for one, other in zip(state_of(first), state_of(second), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_it_acts_within_the_space_and_greedily_always_alike(name, space):
    algorithm = make(name, space)
    policy = algorithm.policy.fork(3)
    obs = random_batch(algorithm, n=5).obs.numpy()
    state = policy.init_state(5)
    first, _, state = policy.act(obs, state, explore=False, step=0)
    again, _, _ = policy.act(obs, state, explore=False, step=9)
    assert (first == again).all()
    explored, _, _ = policy.act(obs, state, explore=True, step=0)
    for action in policy.env_action(explored):
        assert algorithm.action_space.contains(action)
    greedy, _ = policy.greedy_action(torch.from_numpy(obs), policy.greedy_state(5))
    torch.testing.assert_close(greedy, torch.from_numpy(policy.env_action(first)))


@pytest.mark.parametrize("name", sorted(dict(KINDS)))
def test_layers_that_carry_state_are_refused(name):
    config = get_config_class(name)(merge_layers=[{"layer_type": "gru", "layer_size": 8}])
    with pytest.raises(UserError, match=r"carry state.*use algo_name=BC"):
        check_settings(config, "algo_cfg")


@pytest.mark.parametrize(
    ("name", "space", "other"), [("CQL", THREE, "CQL_D"), ("BCQ", THREE, "BCQ_D"), ("CQL_D", BOX, "CQL")]
)
def test_other_actions_are_answered_with_the_name_to_use(name, space, other):
    with pytest.raises(UserError, match=f"^{name} needs .* actions, .*use algo_name={other}$"):
        make(name, space)


@pytest.mark.parametrize(("name", "space"), KINDS)
def test_networks_may_be_classes(name, space):
    keys = vars(get_config_class(name)())
    small = {key: "network_classes:Small" for key in keys if key.endswith("_class")}
    algorithm = make(name, space, **small, normalize_obs=False)
    before = [p.clone() for p in algorithm.policy.net.parameters()]
    algorithm.learn(random_batch(algorithm))
    assert any(isinstance(part, Custom) for part in algorithm.policy.net.modules())
    assert all(not torch.equal(*pair) for pair in zip(before, algorithm.policy.net.parameters(), strict=True))

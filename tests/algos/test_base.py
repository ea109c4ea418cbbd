"""The data of an algorithm; every policy: streams of its own, noise and dropout, warnings; random actions."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate
from torch import nn

from algos.base import Policy, RandomActions, RandomPolicy, obs_to_tensors
from algos.data import Batch, DataSpec
from algos.networks.builder import build_network
from algos.registry import get_algorithm

BOX = spaces.Box(-1, 1, (4,), np.float32)
NOISY = {"layer_type": "noisy_linear", "layer_size": 8, "activation": "relu"}
DROPOUT = {"layer_type": "dropout", "p": 0.5}
LINEAR = {"layer_type": "linear", "layer_size": 8, "activation": "relu"}


class Plain(Policy):
    def act(self, obs, state, *, explore, step):
        with torch.no_grad(), self.noise_and_dropout(explore):
            return self.net(obs_to_tensors(obs, self.device)).numpy(), {}, state


def test_a_batch_moves_with_all_its_columns():
    flags, extras = torch.zeros(3, 2, dtype=torch.bool), {"value": torch.zeros(3, 2)}
    obs = {"a": torch.zeros(3, 2, 4), "b": torch.zeros(3, 2)}
    index = np.arange(3)
    batch = Batch(obs, torch.zeros(3, 2), torch.zeros(3, 2), obs, flags, flags, extras, flags, (), 5, index)
    assert batch.to("cpu") is batch
    moved = batch.to("meta")
    assert isinstance(moved, Batch) and (moved.step, moved.state) == (5, ()) and moved.index is index
    leaves = [moved.obs["b"], moved.next_obs["a"], moved.action, moved.truncated, moved.extras["value"], moved.reset]
    assert all(leaf.device.type == "meta" for leaf in leaves) and batch.reward.device.type == "cpu"
    assert Batch(obs, *[flags] * 2, obs, *[flags] * 2).to("meta").reset is None


def test_warnings_of_layers_are_told_once():
    attention = {"layer_type": "attention", "kind": "flash", "window": 1, "d_model": 4, "n_heads": 1}
    policy = Plain(build_network(BOX, [attention, LINEAR], out_features=3))
    (text,) = policy.warnings()
    assert "window=1: attention over a single step remembers nothing" in text
    policy.net.body[0].warning = policy.net.body[1].warning = "the same"
    assert policy.warnings() == ["the same"] and policy_of(LINEAR).warnings() == []


def policy_of(*layers):
    torch.manual_seed(0)
    return Plain(build_network(BOX, list(layers), out_features=3)).fork(1)


def outputs(policy, explore, times=4):
    obs = np.ones((1, 4), np.float32)
    return [policy.act(obs, (), explore=explore, step=0)[0] for _ in range(times)]


def all_equal(arrays):
    return all(np.array_equal(arrays[0], other) for other in arrays[1:])


def test_noise_is_new_in_every_exploring_act_and_comes_from_the_own_stream():
    policy = policy_of(NOISY)
    found = outputs(policy, explore=True)
    assert not any(np.array_equal(a, b) for i, a in enumerate(found) for b in found[:i])
    assert np.array_equal(outputs(policy.fork(7), True), outputs(policy.fork(7), True))
    assert not np.array_equal(outputs(policy.fork(7), True), outputs(policy.fork(8), True))


def test_evaluation_takes_the_mean_weights():
    policy = policy_of(NOISY)
    outputs(policy, explore=True)
    layer = policy.net.noisy[0]
    hidden = torch.relu(nn.functional.linear(torch.ones(1, 4), layer.weight_mu, layer.bias_mu))
    expected = policy.net.body[-1](hidden).detach().numpy()
    found = outputs(policy, explore=False)
    assert all_equal(found) and np.allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("explore", [True, False])
def test_dropout_is_off_whenever_the_policy_acts(explore):
    assert all_equal(outputs(policy_of(LINEAR, DROPOUT), explore))


def test_dropout_is_off_beside_noisy_layers_too():
    # dropout is hidden behind fresh noise, so each output is compared with what the same noise gives without dropout
    policy, obs = policy_of(NOISY, DROPOUT), torch.ones(1, 4)
    for _ in range(20):
        found = outputs(policy, explore=True, times=1)[0]
        with torch.no_grad():
            hidden = policy.net.body[1](policy.net.body[0](obs))  # in training mode: with the noise just drawn
            assert np.allclose(found, policy.net.body[-1](hidden).numpy(), atol=1e-6)


def test_learning_finds_noise_and_dropout_on_also_after_a_failed_act():
    policy = policy_of(NOISY, DROPOUT)
    outputs(policy, explore=False)
    assert all(module.training for module in policy.net.modules())
    with pytest.raises(RuntimeError):
        policy.act(np.ones((1, 5), np.float32), (), explore=False, step=0)
    assert all(module.training for module in policy.net.modules())


def test_forks_share_the_weights_but_not_the_stream():
    policy = policy_of(LINEAR)
    twin = policy.fork(5)
    assert twin.net is policy.net and twin.generator is not policy.generator
    state = policy.generator.get_state()
    torch.rand(3, generator=twin.generator)
    assert torch.equal(policy.generator.get_state(), state)


def test_observations_become_tensors_without_a_copy():
    obs = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.int64)}
    tensors = obs_to_tensors(obs, "cpu")
    obs["a"][0, 0] = 4
    assert tensors["a"][0, 0] == 4 and tensors["b"].dtype == torch.int64


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=-1), spaces.Box(-2, 2, (2,)), spaces.MultiDiscrete([2, 5])])
def test_random_actions_follow_the_own_stream(space):
    policy = RandomPolicy(space)
    obs = {"nested": {"a": np.zeros((6, 1))}}

    def actions(seed):
        fork = policy.fork(seed)
        return np.stack([fork.act(obs, (), explore=True, step=0)[0] for _ in range(20)])

    assert actions(1).shape[:2] == (20, 6) and all(space.contains(a) for row in actions(1) for a in row)
    assert np.array_equal(actions(1), actions(1)) and not np.array_equal(actions(1), actions(2))


@pytest.mark.parametrize(
    ("kind", "true"),
    [
        ("replay", {"replayed"}),
        ("sequence", {"replayed", "fixed_length"}),
        ("rollout", {"on_policy", "fixed_length"}),
        ("episode", {"on_policy", "whole_episodes"}),
        ("none", set()),
    ],
)
def test_what_a_kind_of_data_asks_for(kind, true):
    spec = DataSpec(kind)
    assert {name for name in ("replayed", "on_policy", "whole_episodes", "fixed_length") if getattr(spec, name)} == true


def test_a_rollout_for_replay_is_a_round_of_train_freq_others_have_n_steps():
    assert [DataSpec("replay", train_freq=8).rollout_length(envs) for envs in (1, 3, 8, 9)] == [8, 2, 1, 1]
    for kind in ("sequence", "rollout", "episode", "none"):
        assert DataSpec(kind, n_steps=4, train_freq=8).rollout_length(3) == 4


def test_steps_and_updates_of_replay_by_hand():
    assert DataSpec("replay", batch_size=32, learning_starts=20).warm_up_steps == 32
    assert DataSpec("replay", batch_size=32, learning_starts=50).warm_up_steps == 50
    assert DataSpec("sequence", n_steps=5, batch_size=32, learning_starts=50).warm_up_steps == 160
    assert DataSpec("replay", train_freq=4, gradient_steps=3).round_updates == 3
    assert DataSpec("replay", train_freq=4, gradient_steps=-1).round_updates == 4


@pytest.mark.parametrize("name", ["DQN", "PPO", "SAC_D", "QLearning"])
@pytest.mark.parametrize("space", [spaces.Discrete(3, start=-1, dtype=np.int8), spaces.Discrete(3, dtype=np.int32)])
def test_actions_have_the_integer_type_of_their_space(name, space):
    kind = get_algorithm(name)
    policy = kind(kind.Config(), spaces.Discrete(4), space, seed=1, total_steps=10).policy
    for explore in (True, False):
        action, _, _ = policy.act(np.arange(4), policy.init_state(4), explore=explore, step=0)
        taken = policy.env_action(action)
        assert taken.dtype == space.dtype and all(one in space for one in taken)
        if name in ("DQN", "SAC_D"):
            assert np.array_equal(policy.policy_action(taken), action)


@pytest.mark.parametrize(
    "space", [spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,)))), spaces.Dict(a=spaces.Discrete(2))]
)
def test_random_actions_of_any_space(space):
    algorithm = RandomActions(None, spaces.Text(3), space)
    action, _, _ = algorithm.policy.fork(0).act((np.zeros(5), np.zeros(5)), (), explore=True, step=0)
    assert len(list(iterate(batch_space(space, 5), action))) == 5
    assert all(one in space for one in iterate(batch_space(space, 5), action))

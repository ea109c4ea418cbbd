"""The actor-critic policy: what it stores, what the environment gets, with and without memory."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import tree_map
from algos.policy_gradient.actor_critic import ActorCritic, ActorCriticPolicy
from algos.policy_gradient.config import PPOConfig

BOX = spaces.Box(-1, 1, (3,), np.float32)
GRU = [{"layer_type": "gru", "layer_size": 8}]
OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def policy_of(action_space, obs_space=BOX, **settings):
    torch.manual_seed(0)
    return ActorCriticPolicy(ActorCritic(PPOConfig(**settings), obs_space, action_space), action_space, "cpu").fork(1)


def act(policy, explore=True, state=(), obs=OBS):
    """An action, what a rollout of this one step keeps beside it, and the next state."""
    action, extras, state = policy.act(obs, state, explore=explore, step=0)
    columns = {name: column[None] for name, column in extras.items()}
    columns = policy.rollout_extras(tree_map(lambda leaf: leaf[None], obs), action[None], columns)
    return action, {name: column[0] for name, column in columns.items()}, state


def test_discrete_actions_count_from_zero_and_reach_the_env_from_start():
    space = spaces.Discrete(3, start=5)
    policy = policy_of(space)
    drawn = np.concatenate([act(policy)[0] for _ in range(30)])
    assert set(drawn) == {0, 1, 2} and set(policy.env_action(drawn)) == {5, 6, 7}


def test_multi_discrete_actions():
    space = spaces.MultiDiscrete([2, 4], start=[3, 0])
    action, extras, _ = act(policy_of(space))
    assert action.shape == (4, 2) and extras["log_prob"].shape == (4,)
    assert all(space.contains(row) for row in policy_of(space).env_action(action))
    assert policy_of(spaces.MultiDiscrete([2, 4])).env_action(action) is action


def test_multi_binary_actions_have_the_space_s_shape():
    space = spaces.MultiBinary([2, 2])
    policy = policy_of(space)
    action, extras, _ = act(policy)
    assert action.shape == (4, 4) and extras["log_prob"].shape == (4,)
    assert all(space.contains(row) for row in policy.env_action(action))


def test_box_actions_are_clipped_for_the_env_while_the_drawn_one_is_kept():
    space = spaces.Box(np.array([[-0.1, -1.0]], np.float32), np.array([[0.1, 2.0]], np.float32))
    policy = policy_of(space, log_std_init=2.0)  # a deviation of e^2 leaves these bounds almost always
    action, extras, _ = act(policy)
    taken = policy.env_action(action)
    assert action.shape == (4, 2) and taken.shape == (4, 1, 2) and taken.dtype == space.dtype
    assert all(space.contains(row) for row in taken)
    assert np.abs(action[:, 0]).max() > 0.1
    # log N(a; mean, e^2) summed over both numbers: of the action that was drawn, not of the clipped one
    with torch.no_grad():
        mean = policy.net(torch.from_numpy(OBS))[0].numpy()
    by_hand = (-0.5 * ((action - mean) / np.exp(2)) ** 2 - 2 - 0.5 * np.log(2 * np.pi)).sum(-1)
    assert np.allclose(extras["log_prob"], by_hand, atol=1e-4)


def test_without_exploring_the_most_likely_action_is_taken_and_nothing_is_drawn():
    for space in (spaces.Discrete(4), spaces.MultiDiscrete([3, 2]), spaces.Box(-1, 1, (2,)), spaces.MultiBinary(3)):
        policy = policy_of(space)
        before = policy.generator.get_state()
        action, extras, _ = act(policy, explore=False)
        with torch.no_grad():
            mode = policy.net.distribution(policy.net(torch.from_numpy(OBS))[0]).mode().numpy()
        assert np.array_equal(action, mode) and extras == {}
        assert torch.equal(before, policy.generator.get_state())


def test_two_forks_with_one_seed_agree_and_with_another_differ():
    policy = policy_of(spaces.Box(-1, 1, (2,)))
    drawn = [act(policy.fork(seed))[0] for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_values_of_acting_and_of_bootstrapping_agree():
    policy = policy_of(spaces.Discrete(2))
    assert np.array_equal(act(policy)[1]["value"], policy.bootstrap(OBS, ()))
    recurrent = policy_of(spaces.Discrete(2), merge_layers=GRU)
    state = recurrent.init_state(4)
    _, extras, after = act(recurrent, state=state)
    assert np.array_equal(extras["value"], recurrent.bootstrap(OBS, state))
    assert not np.allclose(extras["value"], recurrent.bootstrap(OBS, after))


@pytest.mark.parametrize("place", ["merge_layers", "actor_layers", "critic_layers"])
def test_memory_in_any_part_steps_as_it_unrolls(place):
    net = policy_of(spaces.Discrete(2), **{place: GRU}).net
    obs, reset = torch.randn(2, 6, 3), torch.zeros(2, 6, dtype=torch.bool)
    reset[1, 4] = True
    whole = net.unroll(obs, net.init_state(2), reset)
    state = net.init_state(2)
    for t in range(6):
        params, value, state = net.unroll(obs[:, t : t + 1], state, reset[:, t : t + 1])
        torch.testing.assert_close(params[:, 0], whole[0][:, t], rtol=0, atol=1e-5)
        torch.testing.assert_close(value[:, 0], whole[1][:, t], rtol=0, atol=1e-5)


def test_orthogonal_weights_start_with_an_almost_uniform_policy():
    net = policy_of(spaces.Discrete(2)).net
    head = net.actor.body[-1].weight.detach()
    torch.testing.assert_close(head @ head.t(), 0.01**2 * torch.eye(2), rtol=1e-3, atol=1e-8)
    hidden = net.critic.body[2].weight.detach()  # 64 x 64, gain sqrt(2)
    torch.testing.assert_close(hidden @ hidden.t(), 2 * torch.eye(64), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.critic.body[-1].weight.norm().item(), 1.0, rtol=1e-5, atol=0)


def test_dict_observations_are_shared_by_actor_and_critic():
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    policy = policy_of(spaces.Discrete(2), space, merge_layers=[{"layer_type": "linear", "layer_size": 8}])
    obs = {"a": OBS, "b": np.array([0, 1, 2, 0])}
    action, extras, _ = policy.act(obs, (), explore=True, step=0)
    assert action.shape == extras["value"].shape == (4,)


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.MultiDiscrete(np.array([[2, 2], [2, 2]]))])
def test_an_action_space_without_a_distribution_is_refused(space):
    with pytest.raises(UserError, match=f"no distribution over {type(space).__name__} actions"):
        policy_of(space)


MASKED = spaces.Dict({"action_mask": spaces.MultiBinary(3), "observation": BOX})
MASK = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]], np.int8)


@pytest.mark.parametrize("memory", [False, True])
def test_forbidden_actions_are_never_taken_and_have_no_part_in_entropy(memory):
    policy = policy_of(spaces.Discrete(3), MASKED, **({"merge_layers": GRU} if memory else {}))
    obs, state = {"action_mask": MASK, "observation": OBS}, policy.init_state(4)
    drawn = np.stack([policy.act(obs, state, explore=True, step=0)[0] for _ in range(60)])
    seen = np.stack([(drawn == action).any(0) for action in range(3)], axis=1)
    assert np.array_equal(seen, MASK == 1)  # all that is allowed, nothing else
    assert (policy.act(obs, state, explore=False, step=0)[0] == drawn).any(0).all()
    action, extras, _ = act(policy, state=state, obs=obs)
    tensors = {key: torch.from_numpy(value) for key, value in obs.items()}
    if memory:  # learning sees the same probabilities
        sequences = {key: value.unsqueeze(1) for key, value in tensors.items()}
        params = policy.net.unroll(sequences, state, torch.zeros(4, 1, dtype=torch.bool))[0].squeeze(1)
    else:
        params = policy.net(tensors)[0]
    dist = policy.net.distribution(params)
    np.testing.assert_allclose(dist.log_prob(torch.from_numpy(action)).detach().numpy(), extras["log_prob"], atol=1e-6)
    assert extras["log_prob"][0] == 0 and extras["log_prob"][3] == 0  # the only choice
    entropy = dist.entropy()
    assert entropy[0] == 0 and entropy[1] <= np.log(2) + 1e-6
    (grad,) = torch.autograd.grad(entropy.sum(), policy.net.actor.body[-1].bias)
    assert torch.isfinite(grad).all()


def test_masks_of_several_choices_and_one_that_forbids_all():
    space = spaces.MultiDiscrete([2, 3])
    obs_space = spaces.Dict({"action_mask": spaces.Box(0, 1, (5,), np.int8), "observation": BOX})
    policy = policy_of(space, obs_space)
    mask = np.array([[1, 0, 0, 1, 1], [0, 1, 1, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], np.int8)
    obs = {"action_mask": mask, "observation": OBS}
    drawn = np.stack([policy.act(obs, (), explore=True, step=0)[0] for _ in range(60)])
    assert set(drawn[:, 0, 0]) == {0} and set(drawn[:, 0, 1]) == {1, 2}
    assert set(drawn[:, 1, 0]) == {1} and set(drawn[:, 1, 1]) == {0}
    assert set(drawn[:, 2, 1]) == {0, 2}
    assert all(space.contains(row) for row in drawn.reshape(-1, 2))


def test_a_mask_is_no_input_of_the_network():
    net = policy_of(spaces.Discrete(3), MASKED, merge_layers=[{"layer_type": "linear", "layer_size": 8}]).net
    assert net.encoder.body[0].in_features == 3
    allowed = torch.ones(4, 3)
    one, other = (net({"action_mask": mask, "observation": torch.from_numpy(OBS)}) for mask in (allowed, allowed * 2))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.mark.parametrize(
    ("action_space", "parts", "text"),
    [
        (spaces.Discrete(4), {"observation": BOX}, r"'action_mask' has shape \(3,\): .* must be \(4,\)"),
        (spaces.Box(-1, 1, (3,)), {"observation": BOX}, "masks Discrete or MultiDiscrete actions, .* has Box"),
        (spaces.Discrete(3), {}, "nothing but 'action_mask'"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(action_space, parts, text):
    with pytest.raises(UserError, match=text):
        policy_of(action_space, spaces.Dict({"action_mask": spaces.MultiBinary(3), **parts}))


def test_without_a_critic_all_values_are_zero():
    torch.manual_seed(0)
    space = spaces.Discrete(2)
    policy = ActorCriticPolicy(ActorCritic(PPOConfig(), BOX, space, critic=False), space, "cpu").fork(1)
    assert act(policy)[1]["value"].tolist() == [0] * 4 == policy.bootstrap(OBS, ()).tolist()
    assert not [name for name, _ in policy.net.named_parameters() if "critic" in name]


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3])])
def test_a_critic_of_its_own_values_a_whole_rollout_as_it_would_each_step(space, monkeypatch):
    monkeypatch.setattr("algos.policy_gradient.actor_critic.PIECE", 5)
    policy = policy_of(space, normalize_obs=True, merge_layers=[])
    policy.net.update_norm(torch.from_numpy(OBS))
    obs = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    steps = [policy.act(one, (), explore=True, step=0) for one in obs]
    assert all(set(extras) == {"params"} for _, extras, _ in steps)
    action = np.stack([action for action, _, _ in steps])
    extras = policy.rollout_extras(obs, action, {"params": np.stack([extras["params"] for _, extras, _ in steps])})
    for t in range(3):
        with torch.no_grad():
            params, value = policy.net(torch.from_numpy(obs[t]))
            log_prob = policy.net.distribution(params).log_prob(torch.from_numpy(action[t]))
        np.testing.assert_allclose(extras["log_prob"][t], log_prob.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(extras["value"][t], value.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(policy.bootstrap(obs[t], ()), value.numpy(), rtol=1e-5, atol=1e-6)


def test_a_critic_that_shares_layers_is_asked_at_each_step():
    shared = [{"layer_type": "linear", "layer_size": [8]}]
    _, extras, _ = policy_of(spaces.Discrete(3), merge_layers=shared).act(OBS, (), explore=True, step=0)
    assert set(extras) == {"params", "value"}

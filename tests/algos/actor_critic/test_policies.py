"""How the actor-critics act: random steps, noise, scaling to the environment's bounds."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from replay_parts import CONTINUOUS, MEMORYLESS, make

WIDE = spaces.Box(np.float32([[-2, 0]]), np.float32([[2, 10]]))  # of shape (1, 2)


def act(policy, n, step=10_000, explore=True, state=()):
    return policy.act(np.full((n, 3), 0.5, np.float32), state, explore=explore, step=step)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_actions_are_uniform_before_the_policy_takes_over(name, monkeypatch):
    policy = make(name, learning_starts=10).policy
    monkeypatch.setattr(policy.net, "step", lambda *_: pytest.fail("the network was asked"))
    action = act(policy, 5000, step=9)[0]
    assert action.shape == (5000, 2) and action.dtype == np.float32
    share = np.histogram(action, 4, (-1, 1))[0] / action.size
    assert np.abs(share - 0.25).max() < 5 * (0.25 * 0.75 / action.size) ** 0.5
    with pytest.raises(pytest.fail.Exception):
        act(policy, 1, step=10)
    with pytest.raises(pytest.fail.Exception):
        act(policy, 1, step=0, explore=False)


def test_random_steps_may_differ_from_learning_starts():
    cfg = {"learning_starts": 100, "random_steps": 3}
    policy = make("DDPG", exploration_noise=0.0, **cfg).policy
    greedy = act(policy, 4, explore=False)[0]
    assert not np.allclose(act(policy, 4, step=2)[0], greedy)
    assert np.array_equal(act(policy, 4, step=3)[0], greedy)


def test_discrete_actions_count_from_zero_and_reach_the_env_from_start():
    policy = make("SAC_D", action_space=spaces.Discrete(3, start=-1), random_steps=0).policy
    n = 30_000
    action = act(policy, n)[0]
    assert set(policy.env_action(action)) == {-1, 0, 1}
    with torch.no_grad():
        prob = policy.net(torch.full((1, 3), 0.5)).softmax(1)[0].numpy()
    assert np.abs(np.bincount(action) / n - prob).max() < 5 * (0.25 / n) ** 0.5
    assert (act(policy, 5, explore=False)[0] == prob.argmax()).all()
    uniform = act(make("SAC_D", learning_starts=5).policy, n, step=0)[0]
    assert np.abs(np.bincount(uniform) / n - 1 / 3).max() < 5 * (2 / 9 / n) ** 0.5


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_environment_gets_actions_of_its_own_bounds_and_shape(name):
    policy = make(name, action_space=WIDE).policy
    by_hand = np.float32([[-1, -1], [1, 1], [0, 0.5]])
    np.testing.assert_allclose(policy.env_action(by_hand), [[[-2, 0]], [[2, 10]], [[0, 7.5]]], rtol=1e-6)
    action = act(policy, 50)[0]
    assert np.abs(action).max() <= 1
    assert all(WIDE.contains(one) for one in policy.env_action(action))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_rounding_never_leaves_the_bounds(name):
    space = spaces.Box(np.float32([0.1, -0.7]), np.float32([0.3, 1.3]))
    policy = make(name, action_space=space).policy
    assert all(space.contains(one) for one in policy.env_action(np.float32([[1, 1], [-1, -1]])))


def test_deterministic_actors_get_gaussian_noise_that_a_schedule_may_end():
    policy = make("TD3", exploration_noise="lin_0.2", total_steps=20_000).policy
    greedy = act(policy, 1, explore=False)[0]
    noise = act(policy, 20_000, step=10_000)[0] - greedy  # half of the way: 0.1
    assert noise.std(0) == pytest.approx([0.1, 0.1], rel=0.05) and np.abs(noise.mean(0)).max() < 0.005
    assert np.array_equal(act(policy, 1, step=20_000)[0], greedy)
    assert np.abs(act(make("TD3", exploration_noise=9.0).policy, 100)[0]).max() == 1


@pytest.mark.parametrize("name", ["SAC", "TQC"])
def test_squashed_gaussians_are_sampled_and_their_mean_is_greedy(name):
    policy = make(name).policy
    with torch.no_grad():
        mean, log_std = (part[0].numpy() for part in policy.net(torch.full((1, 3), 0.5)))
    sample = np.arctanh(act(policy, 20_000)[0].astype(np.float64))
    assert sample.mean(0) == pytest.approx(mean, abs=0.05)
    assert sample.std(0) == pytest.approx(np.exp(log_std), rel=0.05)
    assert act(policy, 1, explore=False)[0][0] == pytest.approx(np.tanh(mean), rel=1e-5)


@pytest.mark.parametrize("name", MEMORYLESS)
def test_acting_follows_its_own_stream_and_evaluation_draws_nothing(name):
    algorithm = make(name)
    one, other, third = (algorithm.policy.fork(seed) for seed in (1, 1, 2))
    for step in (0, 10_000):
        torch.rand(3)
        actions = [act(policy, 40, step)[0] for policy in (one, other, third)]
        assert np.array_equal(actions[0], actions[1]) and not np.array_equal(actions[0], actions[2])
    before = one.generator.get_state()
    assert np.array_equal(act(one, 4, explore=False)[0], act(third, 4, explore=False)[0])
    assert torch.equal(before, one.generator.get_state())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_noise_may_be_correlated_from_step_to_step(name):
    policy = make(name, noise_correlation=0.9).policy
    state = policy.init_state(4000)
    noises = []
    for _ in range(60):
        _, _, state = act(policy, 4000, state=state)
        noises.append(state[0].numpy())
    assert noises[0].std() == pytest.approx((1 - 0.81) ** 0.5, rel=0.05)  # it starts from 0
    assert noises[-1].std() == pytest.approx(1, rel=0.05)
    correlation = (noises[-2] * noises[-1]).mean() / noises[-1].var()
    assert correlation == pytest.approx(0.9, rel=0.05)
    assert policy.init_state(1) != () and make(name).policy.init_state(1) == ()
    same = act(policy, 4000, explore=False, state=state)[2]
    assert same is state

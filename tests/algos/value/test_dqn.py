"""DQN: targets by hand, exploration, target updates, saved state, the compiled update."""

import copy
import shutil

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.errors import UserError
from algos.data import Batch
from algos.value.config import DQNConfig
from algos.value.double_dqn import DoubleDQN
from algos.value.dqn import DQN

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (2,), np.float32)
NOISY = [{"layer_type": "noisy_linear", "layer_size": 8, "activation": "relu"}]
SMALL = [{"layer_type": "linear", "layer_size": 16, "activation": "relu"}]


def make(kind=DQN, actions=2, obs_space=BOX, total_steps=None, start=0, seed=1, **settings):
    space = spaces.Discrete(actions, start=start)
    cfg = DQNConfig(**{"value_layers": SMALL, **settings})
    return kind(cfg, obs_space, space, seed=seed, total_steps=total_steps)


def table(*rows):
    """A network that looks up Q [action] by the one-hot state: obs @ rows."""
    net = nn.Linear(len(rows), len(rows[0]), bias=False)
    net.weight.data = torch.tensor(rows).t().contiguous()
    return net


def with_tables(algorithm, online, target):
    algorithm.q_net, algorithm.target_net = table(*online), table(*target)
    return algorithm


def transitions(*, action, reward, terminated, truncated, state=(0, 0), next_state=(1, 1)):
    """A batch over two one-hot states."""
    hot = torch.eye(2)
    bools = [torch.tensor(flags) for flags in (terminated, truncated)]
    return Batch(hot[list(state)], torch.tensor(action), torch.tensor(reward), hot[list(next_state)], *bools)


def loss_of(algorithm, batch):
    loss, metrics, _ = algorithm.loss(batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    return loss.item(), metrics


def random_batch(generator, n=32, step=0, width=2):
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    action = torch.randint(2, (n,), generator=generator)
    flags = torch.rand(n, generator=generator) < 0.2, torch.rand(n, generator=generator) < 0.2
    return Batch(normal(n, width), action, normal(n), normal(n, width), *flags, step=step)


# Q of state 0 and of state 1; the online net prefers action 0 in state 1, the target net action 1.
ONLINE = ((1.0, 2.0), (9.0, 3.0))
TARGET = ((0.0, 0.0), (4.0, 6.0))


def test_target_terminated_bootstraps_not_truncated_does():
    # gamma 0.5; both rows: state 0 -> state 1, where max_a Q_target = 6
    # terminated: target 1, Q(0, 0) = 1, error 0;   truncated: target 1 + 0.5 * 6 = 4, Q(0, 1) = 2, error -2
    batch = transitions(action=[0, 1], reward=[1.0, 1.0], terminated=[True, False], truncated=[False, True])
    loss, metrics = loss_of(with_tables(make(gamma=0.5), ONLINE, TARGET), batch)
    assert loss == pytest.approx((0**2 + 2**2) / 2)
    assert metrics["train/mean_q"].item() == pytest.approx(1.5)


def test_huber_is_quadratic_up_to_one_and_linear_beyond():
    # errors Q - r of terminated steps: 1 - 0.5 = 0.5 and 2 - 5 = -3: (0.5 * 0.25 + (3 - 0.5)) / 2; mse (0.25 + 9) / 2
    batch = transitions(action=[0, 1], reward=[0.5, 5.0], terminated=[True] * 2, truncated=[False] * 2)
    assert loss_of(with_tables(make(loss="huber"), ONLINE, TARGET), batch)[0] == pytest.approx(1.3125)
    assert loss_of(with_tables(make(loss="mse"), ONLINE, TARGET), batch)[0] == pytest.approx(4.625)


def test_no_gradient_flows_through_the_target():
    algorithm = make(DoubleDQN)
    algorithm.target_net = algorithm.q_net  # so that a leak would show in the gradient
    batch = transitions(action=[0, 1], reward=[0.0, 0.0], terminated=[False] * 2, truncated=[False] * 2)
    with torch.no_grad():
        next_value = algorithm.next_value(batch.next_obs)
    batch.reward += 1.0
    loss, *_ = algorithm.loss(batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    q_value = algorithm.q_net(batch.obs).gather(1, batch.action.unsqueeze(1)).squeeze(1)
    by_hand = ((q_value - 1 - algorithm.cfg.gamma * next_value) ** 2).mean()
    params = list(algorithm.q_net.parameters())
    for one, other in zip(torch.autograd.grad(loss, params), torch.autograd.grad(by_hand, params), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_the_target_network_follows_every_third_update(tau):
    algorithm = make(target_update=3, tau=tau, lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    before = [p.clone() for p in algorithm.target_net.parameters()]
    for update in range(1, 7):
        algorithm.learn(random_batch(generator))
        online, target = list(algorithm.q_net.parameters()), list(algorithm.target_net.parameters())
        if update % 3 == 0:
            before = [(1 - tau) * old + tau * new.detach() for old, new in zip(before, online, strict=True)]
        for expected, actual in zip(before, target, strict=True):
            torch.testing.assert_close(actual, expected)
    assert not torch.equal(online[0], target[0]) or tau == 1.0


def test_learning_rate_schedule_reaches_the_optimiser():
    algorithm = make(lr="lin_1e-3", total_steps=100)
    generator = torch.Generator().manual_seed(0)
    assert algorithm.learn(random_batch(generator, step=25)).metrics["train/learning_rate"] == pytest.approx(7.5e-4)
    weights = algorithm.q_net.body[0].weight.clone()
    assert algorithm.learn(random_batch(generator, step=100)).metrics["train/learning_rate"] == 0
    assert torch.equal(weights, algorithm.q_net.body[0].weight)


def act(policy, n, step, explore=True):
    return policy.act(np.zeros((n, 2), np.float32), (), explore=explore, step=step)[0]


def test_epsilon_greedy_frequencies():
    # epsilon 0.4 over 4 actions: the greedy one has 0.6 + 0.4 / 4 = 0.7, each other 0.1
    algorithm = make(actions=4, epsilon_start=0.4, epsilon_end=0.4)
    greedy = int(act(algorithm.policy, 1, 0, explore=False)[0])
    n = 20_000
    share = np.bincount(act(algorithm.policy.fork(3), n, 0), minlength=4) / n
    expected = np.full(4, 0.1)
    expected[greedy] = 0.7
    # five standard errors of the widest share: 5 sqrt(0.7 * 0.3 / 20,000) = 0.016
    assert np.abs(share - expected).max() < 0.016


def test_row_by_row_frequencies_do_not_depend_on_the_number_of_rows():
    # one row at a time takes the short cuts (no network call, or no random action): the shares must be the same
    algorithm = make(actions=2, epsilon_start=0.6, epsilon_end=0.6)
    greedy = int(act(algorithm.policy, 1, 0, explore=False)[0])
    policy, n = algorithm.policy.fork(5), 3000
    share = np.mean([act(policy, 1, 0)[0] == greedy for _ in range(n)])
    assert abs(share - 0.7) < 5 * (0.7 * 0.3 / n) ** 0.5


def test_acting_follows_the_step_and_the_own_stream_only():
    algorithm = make(actions=5, epsilon_start=1.0, epsilon_end=0.0, epsilon_decay=100, epsilon_schedule="linear")
    steps = [0, 20, 50, 50, 90, 100]

    def actions(seed):
        policy = algorithm.policy.fork(seed)
        torch.rand(3)  # the global stream plays no part
        return np.stack([act(policy, 50, step) for step in steps])

    assert np.array_equal(actions(1), actions(1))
    assert not np.array_equal(actions(1), actions(2))
    greedy = act(algorithm.policy, 50, 0, explore=False)
    assert np.array_equal(actions(1)[-1], greedy) and not np.array_equal(actions(1)[0], greedy)


def test_evaluation_is_greedy_and_draws_nothing():
    algorithm = make(epsilon_start=1.0)
    before = algorithm.policy.generator.get_state()
    values = algorithm.q_net(torch.zeros(3, 2))
    assert np.array_equal(act(algorithm.policy, 3, 0, explore=False), values.argmax(1).numpy())
    assert torch.equal(before, algorithm.policy.generator.get_state())


def test_a_random_step_does_not_ask_the_network(monkeypatch):
    algorithm = make(epsilon_start=1.0, epsilon_end=1.0)
    monkeypatch.setattr(algorithm.policy, "forward", lambda *_: pytest.fail("the network was asked"))
    assert act(algorithm.policy, 4, 0).shape == (4,)


def test_actions_count_from_zero_and_reach_the_env_from_start():
    algorithm = make(actions=3, start=-1, epsilon_start=1.0, epsilon_end=1.0)
    action = act(algorithm.policy, 100, 0)
    assert set(action) == {0, 1, 2} and action.dtype == np.int64
    assert set(algorithm.policy.env_action(action)) == {-1, 0, 1}


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)])
def test_other_action_spaces_are_refused(space):
    with pytest.raises(UserError, match=f"DQN needs Discrete actions, but the environment has {type(space).__name__}"):
        DQN(DQNConfig(), BOX, space)


def test_memory_is_refused():
    with pytest.raises(UserError, match="no layer may carry state"):
        make(value_layers=[{"layer_type": "gru", "layer_size": 4}])


def test_noise_is_new_in_every_update_and_every_exploring_act_and_absent_in_evaluation():
    algorithm = make(value_layers=NOISY, epsilon_start=0.0, epsilon_end=0.0)
    layers = [net.noisy[0] for net in (algorithm.q_net, algorithm.target_net)]
    generator = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(3):
        algorithm.learn(random_batch(generator))
        assert not torch.equal(layers[0].eps_in, layers[1].eps_in)
        seen += [layer.eps_in.clone() for layer in layers]
    for _ in range(3):
        act(algorithm.policy, 1, 0)
        seen.append(layers[0].eps_in.clone())
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])

    obs = np.ones((1, 2), np.float32)
    mean_net = copy.deepcopy(algorithm.q_net).eval()
    with torch.no_grad():
        expected = mean_net(torch.ones(1, 2)).argmax(1).numpy()
    assert all(algorithm.policy.act(obs, (), explore=False, step=0)[0] == expected for _ in range(5))
    assert layers[0].training and algorithm.q_net.training


def test_the_first_step_by_hand_with_adam_s_eps():
    # Adam's first step: m / (1 - beta1) = g and v / (1 - beta2) = g^2, so p -= lr g / (|g| + eps)
    algorithm = make(lr=1e-2, adam_eps=0.5)
    batch = random_batch(torch.Generator().manual_seed(0))
    loss, *_ = algorithm.loss(batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    params = list(algorithm.q_net.parameters())
    expected = [p - 1e-2 * g / (g.abs() + 0.5) for p, g in zip(params, torch.autograd.grad(loss, params), strict=True)]
    algorithm.learn(batch)
    for p, stepped in zip(params, expected, strict=True):
        assert torch.allclose(p, stepped, atol=1e-6)


def test_state_round_trip_continues_identically():
    first, second = (make(lr=1e-2, loss="huber", max_grad_norm=1.0, seed=seed) for seed in (1, 9))
    generator = torch.Generator().manual_seed(0)
    for _ in range(7):  # the target's period of 4 is under way
        first.learn(random_batch(generator))
    second.load_state_dict(first.state_dict())
    for _ in range(20):
        batch = random_batch(generator)
        one, other = (algorithm.learn(batch).metrics["train/td_loss"].item() for algorithm in (first, second))
        assert one == other
    assert first.updates == second.updates == 27


@pytest.mark.parametrize("other", [{"actions": 3}, {"value_layers": NOISY}, {"value_layers": SMALL + SMALL}])
def test_loading_another_network_raises(other):
    with pytest.raises(RuntimeError):
        make().load_state_dict(make(**other).state_dict())


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


def check_compiled(kind=DQN, **settings):
    """Equal losses over 100 updates with a falling rate, one graph, and state that moves both ways."""
    settings = {"obs_space": spaces.Box(-1, 1, (4,), np.float32), "lr": "lin_1e-3", "total_steps": 200, **settings}
    eager, compiled = make(kind, **settings), make(kind, compile=True, **settings)
    generator = torch.Generator().manual_seed(0)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for step in range(120):
        if step == 100:  # each goes on from the other's state
            states = [copy.deepcopy(algorithm.state_dict()) for algorithm in (eager, compiled)]
            compiled.load_state_dict(states[0])
            eager.load_state_dict(states[1])
        batch = random_batch(generator, 64, step, width=4)
        with torch.compiler.set_stance("fail_on_recompile" if step else "default"):
            actual = compiled.learn(batch).metrics["train/td_loss"]
        assert not actual.requires_grad
        torch.testing.assert_close(actual, eager.learn(batch).metrics["train/td_loss"], rtol=0, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]


@needs_compiler
@pytest.mark.xdist_group("machine_code")  # torch's headers are compiled once for all
def test_the_compiled_update_equals_the_eager_one():
    check_compiled(loss="huber", max_grad_norm=10.0, value_layers=SMALL + SMALL)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (DQN, {"loss": "mse", "value_layers": [{"layer_type": "linear", "layer_size": [256, 256]}]}),
        (DoubleDQN, {"loss": "mse", "max_grad_norm": 1.0}),
        (DQN, {"value_layers": NOISY, "tau": 0.1}),
    ],
)
def test_other_compiled_updates_equal_the_eager_ones(kind, settings):
    check_compiled(kind, **settings)


def test_rows_of_several_steps_bring_their_own_discount():
    # Q_target = 6 at most: 1 + 0.25 * 6 = 2.5 after two steps of gamma 0.5, 1 + 0.5 * 6 = 4 after one; Q = 1 and 2
    algorithm = with_tables(make(gamma=0.5, n_step=2), ONLINE, TARGET)
    batch = transitions(action=[0, 1], reward=[1.0, 1.0], terminated=[False] * 2, truncated=[False, True])
    rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    loss, *_ = algorithm.loss(*rows, torch.tensor([0.25, 0.5]))
    assert loss.item() == pytest.approx((1.5**2 + 2**2) / 2)
    spec = DQN.data(algorithm.cfg)
    assert (spec.n_step, spec.gamma) == (2, 0.5)


def test_prioritised_rows_are_weighted_and_give_their_errors():
    # errors 0 and -2, as in the first test here; weights 1 and 0.25
    algorithm = with_tables(make(gamma=0.5, buffer_type="PER_QUE"), ONLINE, TARGET)
    batch = transitions(action=[0, 1], reward=[1.0, 1.0], terminated=[True, False], truncated=[False, True])
    rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    loss, _, td_error = algorithm.loss(*rows, None, torch.tensor([1.0, 0.25]))
    assert loss.item() == pytest.approx((0 + 0.25 * 4) / 2)
    assert td_error.tolist() == [0, 2]

    algorithm = make(buffer_type="PER_QUE", priority_alpha=0.7, priority_beta=0.5)
    spec = DQN.data(algorithm.cfg)
    assert (spec.prioritized, spec.priority_alpha, spec.priority_beta) == (True, 0.7, 0.5)
    batch = random_batch(torch.Generator().manual_seed(0))
    batch.extras["weight"] = torch.rand(32)
    output = algorithm.learn(batch)
    assert output.priorities.shape == (32,) and not output.priorities.requires_grad
    assert set(output.metrics) == {"train/td_loss", "train/mean_q", "train/learning_rate"}


@needs_compiler
@pytest.mark.slow
def test_a_compiled_update_gives_priorities_too():
    eager, compiled = (make(buffer_type="PER_QUE", n_step=3, compile=flag) for flag in (False, True))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        batch = random_batch(generator)
        batch.extras = {"weight": torch.rand(32, generator=generator), "discount": torch.full((32,), 0.9)}
        one, other = eager.learn(batch), compiled.learn(batch)
        torch.testing.assert_close(one.priorities, other.priorities, rtol=0, atol=1e-5)

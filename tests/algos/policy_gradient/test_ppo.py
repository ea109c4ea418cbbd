"""PPO: the objective by hand, minibatches, fresh data through a worker, saved state, the compiled update."""

import copy
import math
import shutil

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.distributions import Categorical
from algos.common.errors import UserError
from algos.common.optim import Step
from algos.common.trees import tree_map
from algos.data import Batch
from algos.policy_gradient.config import PPOConfig
from algos.policy_gradient.ppo import PPO
from algos.policy_gradient.rows import RolloutRows
from envs.config import EnvConfig
from envs.make import make_vector_env
from framework.data.data_server import DataServer
from framework.training.worker import Worker

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (4,), np.float32)
TWO = spaces.Discrete(2)
GRU = [{"layer_type": "gru", "layer_size": 8}]
KINDS = {"memoryless": {}, "gru": {"merge_layers": GRU}}
ATTENTION = {"layer_type": "attention", "d_model": 8, "n_heads": 2, "window": 12, "feature_dim": 4}
MEMORIES = {
    "lstm": {"layer_type": "lstm", "layer_size": 8},
    "fsmn": {"layer_type": "fsmn", "hidden_dim": 8, "memory_order": 3},
    **{kind: {**ATTENTION, "kind": kind} for kind in ("flash", "linear", "hybrid")},
}
ACTIONS = [TWO, spaces.MultiDiscrete([3, 2]), spaces.Box(-1, 1, (2, 1)), spaces.MultiBinary(2)]


def make(action_space=TWO, obs_space=BOX, total_steps=None, seed=1, **settings):
    return PPO(PPOConfig(**settings), obs_space, action_space, seed=seed, total_steps=total_steps)


class Fixed(nn.Module):
    """A network that gives the same probabilities and values whatever it sees."""

    recurrent = False

    def __init__(self, probabilities, values):
        super().__init__()
        self.params, self.values = torch.tensor(probabilities).log(), torch.tensor(values)

    def forward(self, obs):
        return self.params, self.values

    def distribution(self, params):
        return Categorical(params)


def loss_of(algorithm, action, old_probability, advantage, value_target=None, old_value=None, **coefs):
    zeros = [0.0] * len(action)
    advantage, value_target, old_value = (torch.tensor(x or zeros) for x in (advantage, value_target, old_value))
    coefs = {name: torch.tensor(value) for name, value in {"clip": 0.2, "entropy_coef": 0.0, **coefs}.items()}
    old_log_prob = torch.tensor(old_probability).log()
    rows = RolloutRows(None, torch.tensor(action), advantage, value_target, old_log_prob, old_value)
    return algorithm.loss(coefs, rows)


def test_clipped_objective_kl_and_clipfrac_by_hand():
    # p = 0.6 and 0.4; old 0.4 and 0.8: ratios 1.5 and 0.5, clipped at 0.2 to 1.2 and 0.8
    # r A against clip(r) A:  A = 1: min(1.5, 1.2) = 1.2    A = -1: min(-1.5, -1.2) = -1.5
    #                         A = 1: min(0.5, 0.8) = 0.5    A = -1: min(-0.5, -0.8) = -0.8
    algorithm = make(normalize_advantage=False)
    algorithm.net = Fixed([[0.6, 0.4]] * 4, [0.0] * 4)
    _, metrics = loss_of(algorithm, [0, 0, 1, 1], [0.4, 0.4, 0.8, 0.8], [1.0, -1.0, 1.0, -1.0])
    assert metrics["train/policy_loss"].item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)
    # the estimate of KL(old, new) is r - 1 - log r: (0.5 - log 1.5 - 0.5 - log 0.5) / 2
    assert metrics["train/approx_kl"].item() == pytest.approx((-math.log(1.5) - math.log(0.5)) / 2)
    assert metrics["train/clipfrac"].item() == 1.0
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert metrics["train/entropy_loss"].item() == pytest.approx(-entropy)
    _, wider = loss_of(algorithm, [0, 0, 1, 1], [0.4, 0.4, 0.5, 0.4], [1.0] * 4, clip=0.3)
    # ratios 1.5, 1.5, 0.8, 1: two of four are further from 1 than 0.3
    assert wider["train/clipfrac"].item() == 0.5


def test_penalised_objective_by_hand():
    # ratios 1.5 and 0.5 as above, A = 1 and -1: -(1.5 - 0.5) / 2 = -0.5; KL (-log 1.5 - log 0.5) / 2, times beta 3
    algorithm = make(objective="kl", value_coef=0.0)
    algorithm.net = Fixed([[0.6, 0.4]] * 2, [0.0] * 2)
    loss, metrics = loss_of(algorithm, [0, 1], [0.4, 0.8], [1.0, -1.0], beta=3.0)
    expected = -0.5 + 3 * (-math.log(1.5) - math.log(0.5)) / 2
    assert loss.item() == pytest.approx(expected) and metrics["train/policy_loss"].item() == pytest.approx(expected)
    assert metrics["train/kl_beta"] == 3 and "train/clipfrac" not in metrics


@pytest.mark.parametrize(
    ("kl", "beta"),
    # target 0.02: from 0.03 on it doubles, below 0.02 / 1.5 = 0.0133 it halves
    [(0.031, 2.0), (0.029, 1.0), (0.0134, 1.0), (0.0133, 0.5)],
)
def test_the_penalty_adapts(kl, beta):
    algorithm = make(objective="kl", kl_target=0.02)
    algorithm.adapt_penalty(torch.tensor(kl))
    assert algorithm.beta.item() == beta


def test_a_penalty_that_steps_never_call_for_is_found_again():
    algorithm = make(objective="kl")
    for _ in range(300):
        algorithm.adapt_penalty(torch.tensor(0.0))
    for _ in range(20):
        algorithm.adapt_penalty(torch.tensor(1.0))
    assert algorithm.beta.item() == pytest.approx(1e-6 * 2**20, rel=1e-5)


def test_the_penalty_keeps_updates_near_its_target():
    # ten epochs at a rate that leads far off: the penalty grows until the KL is of the target's size
    algorithm = make(objective="kl", kl_target=0.01, lr=3e-3, batch_size=64, normalize_advantage=True)
    generator = torch.Generator().manual_seed(0)
    found = [algorithm.learn(fresh_batch(algorithm, generator)).metrics for _ in range(12)]
    assert found[0]["train/kl_beta"] == 1 and found[1]["train/kl_beta"] in (0.5, 1, 2)
    assert 0.001 < float(found[-1]["train/approx_kl"]) < 0.02


def test_value_loss_with_and_without_clipping():
    # V = 2, old 1, target 3: near = 1 + 0.5 = 1.5; max(1, 2.25) = 2.25
    # V = 0, old 1, target 1: near = 1 - 0.5 = 0.5; max(1, 0.25) = 1
    columns = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([3.0, 1.0])
    assert make(clip_value=0.5).value_loss(*columns).item() == pytest.approx(1.625)
    assert make().value_loss(*columns).item() == pytest.approx(1.0)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    algorithm = make(normalize_advantage=False, value_coef=0.25)
    algorithm.net = Fixed([[0.5, 0.5]] * 2, [1.0, 1.0])
    loss, _ = loss_of(algorithm, [0, 1], [0.5, 0.5], [2.0, 4.0], value_target=[3.0, 3.0], entropy_coef=0.1)
    # ratio 1: policy -3; value (1 - 3)^2 = 4; entropy log 2
    assert loss.item() == pytest.approx(-3 + 0.25 * 4 - 0.1 * math.log(2))


def test_normalised_advantages_by_hand():
    # 1, 2, 3: mean 2, standard deviation 1; one step has no deviation and is taken as it is
    assert make().normalized(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1, 0, 1])
    assert make().normalized(torch.tensor([5.0])).tolist() == [5.0]
    assert make(normalize_advantage=False).normalized(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def fresh_batch(algorithm, generator):
    """Random columns again, but with actions, log-probabilities and values that are the policy's own."""
    batch = random_batch(algorithm, generator)
    with torch.no_grad():
        params, value = algorithm.net(batch.obs.flatten(0, 1))
        dist = algorithm.net.distribution(params)
        action = dist.sample(generator)
        batch.action, batch.extras["log_prob"] = action.view(16, 8), dist.log_prob(action).view(16, 8)
        batch.extras["value"] = value.view(16, 8)
    return batch


def random_batch(algorithm, generator, n_steps=16, n_envs=8, step=0):
    """A rollout of random columns, with what the policy would have added."""

    def normal(*shape):
        return torch.randn(n_steps, n_envs, *shape, generator=generator)

    space = algorithm.action_space
    if isinstance(space, spaces.Box):
        action = normal(math.prod(space.shape))
    elif isinstance(space, spaces.Discrete):
        action = (normal() > 0).long()
    else:
        action = (normal(2) > 0).to(torch.int8 if isinstance(space, spaces.MultiBinary) else torch.int64)
    flags = [torch.rand(n_steps, n_envs, generator=generator) < 0.1 for _ in range(3)]
    extras = {"log_prob": -0.7 + 0.05 * normal(), "value": normal(), "next_value": normal()}
    columns = normal(4), action, normal(), normal(4), flags[0], flags[1]
    return Batch(*columns, extras, flags[2], algorithm.policy.init_state(n_envs), step)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_given_advantages_that_are_normalised_in_the_minibatch(kind, monkeypatch):
    # the loss itself may see some of the rows only (several learners), of another mean and deviation
    algorithm = make(n_steps=16, batch_size=50, n_epochs=1, **KINDS[kind])
    seen, gradient_step = [], algorithm.optimizer.gradient_step
    monkeypatch.setattr(
        algorithm.optimizer, "gradient_step", lambda *args: seen.append(args[2].advantage) or gradient_step(*args)
    )
    algorithm.learn(random_batch(algorithm, torch.Generator().manual_seed(0)))
    assert [advantage.numel() for advantage in seen] == ([50, 50, 28] if kind == "memoryless" else [48, 48, 32])
    for advantage in seen:
        assert (advantage.mean().item(), advantage.std().item()) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize("space", ACTIONS, ids=lambda space: type(space).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_with_the_entropy_term_alone_raises_entropy(space, kind):
    algorithm = make(
        space, lr=1e-3, entropy_coef=1.0, value_coef=0.0, normalize_advantage=False, ortho_init=False, n_epochs=5,
        **KINDS[kind],
    )  # fmt: skip
    with torch.no_grad():
        algorithm.net.actor.body[-1].bias[0] += 1.0  # away from the uniform distribution, where entropy is largest
    batch = random_batch(algorithm, torch.Generator().manual_seed(0))
    batch.reward.zero_()
    for name in ("value", "next_value"):
        batch.extras[name].zero_()  # no reward and no value: the advantage is 0
    entropy = [-float(algorithm.learn(batch).metrics["train/entropy_loss"]) for _ in range(6)]
    assert entropy == sorted(entropy) and entropy[-1] > entropy[0] + 1e-3


def collect(algorithm, env_id="CartPole-v1", n_envs=4, rollouts=1, **env):
    """The last of some rollouts by a real worker, as a batch and as it was."""
    venv = make_vector_env(EnvConfig(id=env_id, **env), n_envs, max_step=30)
    worker = Worker(venv, algorithm.policy, seed=3, total_envs=n_envs)
    server = DataServer(PPO.data(algorithm.cfg), seed=0)
    for _ in range(rollouts):
        rollout, _ = worker.collect(algorithm.cfg.n_steps, server.env_steps)
        server.put(rollout)
        batch = server.sample()
    venv.close()
    return batch, rollout


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("kind", [*KINDS, *MEMORIES, "scaled"])
def test_the_ratio_is_one_in_the_first_minibatch_of_fresh_data(kind, env_id, monkeypatch):
    venv = make_vector_env(EnvConfig(id=env_id), 1)
    spaces_ = venv.single_action_space, venv.single_observation_space
    venv.close()
    algorithm = make(*spaces_, n_steps=40, batch_size=80, n_epochs=2, lr=1e-2, **STATEFUL[kind])
    if kind == "scaled":  # statistics that the first rollout leaves
        algorithm.learn(collect(algorithm, env_id)[0])
        assert algorithm.net.norm.norms[0].count == 160
    batch, rollout = collect(algorithm, env_id, rollouts=2)  # the second begins in the middle of episodes
    assert rollout.reset[1:].any() and not rollout.reset[0].all()
    seen = []
    gradient_step = algorithm.optimizer.gradient_step

    def spy(loss_fn, coefs, rows):
        with torch.no_grad():
            if algorithm.net.recurrent:
                params = algorithm.net.unroll(rows.obs, rows.state, rows.reset)[0]
            else:
                params = algorithm.net(rows.obs)[0]
            ratio = (algorithm.net.distribution(params).log_prob(rows.action) - rows.old_log_prob).exp()
        seen.append((ratio - 1).abs().max().item())
        return gradient_step(loss_fn, coefs, rows)

    monkeypatch.setattr(algorithm.optimizer, "gradient_step", spy)
    output = algorithm.learn(batch)
    assert output.updates == len(seen) == 4
    # exact but for the order of float sums, which depends on the batch's shape
    assert seen[0] < 2e-5 and max(seen[1:]) > 1e-3


def test_minibatches_cover_each_step_once_in_a_new_order():
    algorithm = make(batch_size=10, n_steps=8)
    batch = random_batch(algorithm, torch.Generator(), n_steps=8, n_envs=3)
    number = torch.arange(24).view(8, 3)
    batch.obs = {"a": number.float()}
    epochs = [list(algorithm.minibatches(algorithm.rows(batch, number, -number))) for _ in range(2)]
    for epoch in epochs:
        assert [len(rows.advantage) for rows in epoch] == [10, 10, 4]
        assert sorted(torch.cat([rows.advantage for rows in epoch]).tolist()) == list(range(24))
        for rows in epoch:
            assert torch.equal(rows.advantage.float(), rows.obs["a"])
            assert torch.equal(rows.value_target, -rows.advantage)
            for column, name in ((rows.old_log_prob, "log_prob"), (rows.old_value, "value")):
                assert torch.equal(column, batch.extras[name].flatten()[rows.advantage])
            assert (rows.reset, rows.state) == ((), ())
    assert not torch.equal(epochs[0][0].advantage, epochs[1][0].advantage)


@pytest.mark.parametrize(("batch_size", "envs"), [(16, [2, 2, 1]), (8, [1] * 5), (3, [1] * 5), (100, [5])])
def test_with_memory_minibatches_are_whole_sequences_of_some_envs(batch_size, envs):
    algorithm = make(batch_size=batch_size, **KINDS["gru"])
    batch = random_batch(algorithm, torch.Generator(), n_steps=8, n_envs=5)
    number = torch.arange(40).view(8, 5)  # step t of env n is 5 t + n
    batch.state = torch.arange(5)
    epoch = list(algorithm.minibatches(algorithm.rows(batch, number, number)))
    assert [len(rows.advantage) for rows in epoch] == envs
    for rows in epoch:
        for row, flags, env in zip(rows.advantage, rows.reset, rows.state, strict=True):
            assert row.tolist() == [5 * t + int(env) for t in range(8)]
            assert torch.equal(flags, batch.reset[:, env])
    assert sorted(torch.cat([rows.state for rows in epoch]).tolist()) == list(range(5))


def test_sequences_of_a_part_of_the_rollout_have_the_states_before_them():
    settings = {"batch_size": 8, "n_steps": 12, **KINDS["gru"]}
    whole, parts = make(**settings), make(**settings, sequence_length=4)
    batch = random_batch(whole, torch.Generator().manual_seed(0), n_steps=12, n_envs=3)
    batch.state = tree_map(torch.randn_like, batch.state)
    rollout = whole.rows(batch, batch.reward, batch.reward)
    value = whole.net.unroll(rollout.obs, rollout.state, rollout.reset)[1]
    epoch = list(parts.minibatches(parts.rows(batch, batch.reward, value.T)))
    assert [len(rows.obs) for rows in epoch] == [2, 2, 2, 2, 1]  # 9 sequences of 4 steps, 8 steps a minibatch
    for rows in epoch:
        torch.testing.assert_close(parts.net.unroll(rows.obs, rows.state, rows.reset)[1], rows.value_target)
    with pytest.raises(UserError, match=r"algo_cfg\.sequence_length=5 must divide algo_cfg\.n_steps=12"):
        PPOConfig(n_steps=12, sequence_length=5).check("algo_cfg")


def test_target_kl_ends_the_epochs():
    settings = {"n_steps": 16, "batch_size": 32, "n_epochs": 10, "lr": 1e-2}
    batch = random_batch(make(**settings), torch.Generator().manual_seed(0))  # 128 steps: 4 minibatches an epoch
    assert make(**settings).learn(batch).updates == 40
    assert make(**settings, target_kl=1e6).learn(batch).updates == 40
    assert make(**settings, target_kl=1e-9).learn(batch).updates == 4


def test_schedules_of_rate_and_clip_follow_the_step(monkeypatch):
    bonus = {"kind": "linear", "start": 0.1, "end": 0.05, "fraction": 0.5}
    algorithm = make(lr="lin_1e-3", clip="lin_0.2", entropy_coef=bonus, total_steps=1000, n_epochs=1)
    seen = []
    monkeypatch.setattr(
        algorithm.optimizer,
        "gradient_step",
        lambda loss_fn, coefs, rows: seen.append(coefs) or Step({"x": torch.tensor(0.0)}),
    )
    rates = [
        algorithm.learn(random_batch(algorithm, torch.Generator(), n_steps=8, step=step)).metrics["train/learning_rate"]
        for step in (0, 250, 1000)
    ]
    assert rates == pytest.approx([1e-3, 7.5e-4, 0])
    steps = seen[:: len(seen) // 3]
    assert [coefs["clip"].item() for coefs in steps] == pytest.approx([0.2, 0.15, 0])
    assert [coefs["entropy_coef"].item() for coefs in steps] == pytest.approx([0.1, 0.075, 0.05])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ACTIONS, ids=lambda space: type(space).__name__)
def test_every_action_space_learns_with_finite_metrics(space, kind):
    algorithm = make(space, n_epochs=2, entropy_coef=0.01, clip_value=0.2, **KINDS[kind])
    before = [param.clone() for param in algorithm.net.parameters()]
    metrics = algorithm.learn(random_batch(algorithm, torch.Generator().manual_seed(0))).metrics
    assert all(math.isfinite(float(value)) for value in metrics.values())
    after = list(algorithm.net.parameters())
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_the_drawn_action_is_stored_and_the_clipped_one_goes_to_the_env():
    algorithm = make(
        spaces.Box(-2, 2, (1,)), spaces.Box(-8, 8, (3,)), n_steps=20, log_std_init=2.0
    )  # Pendulum's, with a deviation of e^2
    batch, rollout = collect(algorithm, "Pendulum-v1")
    assert np.array_equal(batch.action.numpy(), rollout.action) and np.abs(rollout.action).max() > 2
    assert np.array_equal(np.clip(rollout.action, -2, 2), rollout.env_action)


def test_other_action_spaces_are_refused():
    text = r"PPO needs Discrete or Box or MultiDiscrete or MultiBinary actions, .* has Text"
    with pytest.raises(UserError, match=text):
        make(spaces.Text(3))


STATEFUL = {
    **KINDS,
    **{name: {"merge_layers": [layer]} for name, layer in MEMORIES.items()},
    "kl": {"objective": "kl"},
    "scaled": {"normalize_obs": True, "normalize_reward": True},
}


@pytest.mark.parametrize("kind", STATEFUL)
def test_state_round_trip_continues_identically(kind):
    first, second = (make(lr=1e-2, n_epochs=1, batch_size=64, seed=seed, **STATEFUL[kind]) for seed in (1, 9))
    generator = torch.Generator().manual_seed(0)
    first.learn(random_batch(first, generator))
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())
    for _ in range(10):  # of two updates each
        batch = random_batch(first, generator)
        one, other = (algorithm.learn(batch).metrics for algorithm in (first, second))
        assert {name: float(value) for name, value in one.items()} == {name: float(v) for name, v in other.items()}


@pytest.mark.parametrize("other", [{"action_space": spaces.Discrete(3)}, KINDS["gru"], {"critic_layers": []}])
def test_loading_another_network_raises(other):
    with pytest.raises(RuntimeError):
        make().load_state_dict(make(**other).state_dict())


def test_memory_and_compile_do_not_go_together(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(UserError, match=r"algo_cfg\.compile=true cannot be combined with layers that carry state"):
        make(compile=True, **KINDS["gru"])


def check_compiled(space, **settings):
    """Equal metrics over 100 updates while rate and clip fall, one graph, and state that moves both ways."""
    settings = {
        "n_epochs": 5, "batch_size": 64, "lr": "lin_1e-3", "clip": "lin_0.2", "entropy_coef": 0.01, "total_steps": 200,
        **settings,
    }  # fmt: skip
    eager, compiled = make(space, **settings), make(space, compile=True, **settings)
    generator = torch.Generator().manual_seed(0)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for step in range(12):  # of ten updates each
        if step == 10:  # each goes on from the other's state
            states = [copy.deepcopy(algorithm.state_dict()) for algorithm in (eager, compiled)]
            compiled.load_state_dict(states[0])
            eager.load_state_dict(states[1])
        batch = random_batch(eager, generator, step=step)
        with torch.compiler.set_stance("fail_on_recompile" if step else "default"):
            actual = compiled.learn(batch)
        expected = eager.learn(batch)
        assert actual.updates == expected.updates == 10
        for name, value in expected.metrics.items():
            assert float(actual.metrics[name]) == pytest.approx(float(value), rel=0, abs=1e-5), (step, name)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


LAYERS = [{"layer_type": "linear", "layer_size": 16, "activation": "tanh"}]
SMALL = {"actor_layers": LAYERS, "critic_layers": LAYERS}  # each layer more is time to compile


@needs_compiler
@pytest.mark.xdist_group("machine_code")  # torch's headers are compiled once for all
def test_the_compiled_update_equals_the_eager_one():
    check_compiled(TWO, **SMALL)


def test_what_is_new_in_the_update_can_be_one_graph(monkeypatch):
    # without machine code, which takes its time: schedules, the penalty, statistics and masks break no graph
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: whole(function, backend="aot_eager", **options))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    check_compiled(
        TWO, **SMALL, objective="kl", normalize_obs=True, normalize_reward=True, optimizer="rmsprop",
        entropy_coef={"kind": "cosine", "start": 0.01},
    )  # fmt: skip


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("space", ACTIONS[1:], ids=lambda space: type(space).__name__)
def test_other_compiled_updates_equal_the_eager_ones(space):
    check_compiled(space, clip_value=0.2)

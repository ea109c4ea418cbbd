"""Targets under action masks, by hand with NumPy: forbidden actions are no next actions."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.base import RandomPolicy
from algos.common.errors import UserError
from algos.data import Batch
from algos.registry import get_algorithm
from framework.data.buffers import batch_map

B, A, GAMMA = 5, 4, 0.9
BOX = spaces.Box(-1, 1, (3,), np.float32)
SPACE = spaces.Dict({"x": BOX, "action_mask": spaces.MultiBinary(A)})
LAYERS = [{"layer_type": "linear", "layer_size": 8, "activation": "tanh"}]
MASK = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]], np.int8)  # the last: an end
TERMINATED = np.array([False, False, False, False, True])


def make(name, **settings):
    kind = get_algorithm(name)
    known = kind.Config.__dataclass_fields__
    layers = dict.fromkeys([key for key in ("value_layers", "actor_layers", "critic_layers") if key in known], LAYERS)
    chosen = {"gamma": GAMMA, "compile": False, **layers, **settings}
    return kind(kind.Config(**chosen), SPACE, spaces.Discrete(A), seed=3)


def batch():
    rng = np.random.default_rng(0)
    x, after = rng.normal(size=(2, B, 3)).astype(np.float32)
    mask = np.ones((B, A), np.int8)
    return Batch(
        {"x": torch.from_numpy(x), "action_mask": torch.from_numpy(mask)},
        torch.from_numpy(rng.integers(A, size=B)),
        torch.from_numpy(rng.normal(size=B).astype(np.float32)),
        {"x": torch.from_numpy(after), "action_mask": torch.from_numpy(MASK)},
        torch.from_numpy(TERMINATED),
        torch.zeros(B, dtype=torch.bool),
    )


def free(obs):
    """The same observation with all allowed."""
    return {**obs, "action_mask": torch.ones_like(obs["action_mask"])}


def masked(values, fill=-np.inf):
    return np.where(MASK != 0, values.detach().numpy(), fill)


def td_error(algorithm, rows, next_value):
    """|r + gamma V(s') - Q(s, a)| [B], without V(s') at an end."""
    q = algorithm.q_net(rows.obs).detach().numpy()[np.arange(B), rows.action.numpy()]
    return np.abs(rows.reward.numpy() + GAMMA * np.where(TERMINATED, 0, next_value) - q)


@pytest.mark.parametrize("name", ["DQN", "DoubleDQN", "SoftQ"])
def test_next_value_of_the_allowed_actions_alone(name):
    algorithm, rows = make(name), batch()
    with torch.no_grad():  # the networks differ
        for weight in algorithm.target_net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    target, online = (masked(net(free(rows.next_obs))) for net in (algorithm.target_net, algorithm.q_net))
    value = target.max(1)
    if name == "DoubleDQN":
        value = target[np.arange(B), online.argmax(1)]
    if name == "SoftQ":
        t = algorithm.cfg.temperature
        with np.errstate(divide="ignore"):
            value = t * np.log(np.exp(target / t).sum(1))
    columns = algorithm.columns(rows)
    loss, _, error = algorithm.loss(*columns)
    np.testing.assert_allclose(error.detach().numpy(), td_error(algorithm, rows, value), rtol=1e-4, atol=1e-5)
    assert torch.isfinite(loss)
    unmasked = algorithm.loss(*columns[:3], free(rows.next_obs), *columns[4:])[2]
    assert not torch.allclose(unmasked, error)  # the mask matters here


@pytest.mark.parametrize("name", ["C51", "QRDQN", "Rainbow"])
def test_the_next_distribution_is_that_of_the_best_allowed_action(name):
    algorithm, rows = make(name, **({"v_min": -3.0, "v_max": 3.0} if name != "QRDQN" else {})), batch()
    chooser = algorithm.q_net if name == "Rainbow" else algorithm.target_net
    best = masked(chooser(free(rows.next_obs))).argmax(1)
    atoms = algorithm.target_net.atoms(rows.next_obs).detach().numpy()
    np.testing.assert_array_equal(algorithm.next_atoms(rows.next_obs).detach().numpy(), atoms[np.arange(B), best])
    assert algorithm.learn(rows).metrics["train/td_loss"].isfinite()


def test_drqn_masks_each_step_of_a_sequence():
    gru = [{"layer_type": "gru", "layer_size": 6}]
    algorithm, rows = make("DRQN", value_layers=gru), batch()
    state, reset = algorithm.q_net.init_state(1), torch.zeros(1, B, dtype=torch.bool)
    sequence = {key: part[None] for key, part in rows.next_obs.items()}
    q_value = algorithm.q_net.unroll(sequence, state, reset)[0][0].detach().numpy()
    whole = algorithm.q_net.unroll(free(sequence), state, reset)[0][0]
    np.testing.assert_array_equal(q_value, masked(whole, -1e9).astype(np.float32))


def test_pqn_bootstraps_from_allowed_actions():
    algorithm, rows = make("PQN", q_lambda=0.0), batch()
    rollout = batch_map(lambda column: column[:, None], rows)
    value = masked(algorithm.q_net(free(rows.next_obs))).max(1)
    expected = rows.reward.numpy() + GAMMA * np.where(TERMINATED, 0, value)
    np.testing.assert_allclose(algorithm.targets(rollout)[:, 0].numpy(), expected, rtol=1e-5)


def test_discrete_sac_takes_expectations_over_allowed_actions():
    algorithm, rows = make("SAC_D", alpha=0.3), batch()
    logits = masked(algorithm.actor(free(rows.next_obs)))[:4]  # the end's value is not used
    q_value = algorithm.target_critic(rows.next_obs).amin(1).detach().numpy()[:4]
    log_prob = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    prob = np.exp(log_prob)
    inside = np.where(MASK[:4] != 0, q_value - 0.3 * log_prob, 0.0)
    expected = (prob * inside).sum(1)
    np.testing.assert_allclose(algorithm.next_value(rows.next_obs, ())[:4].detach().numpy(), expected, rtol=1e-4)
    loss, _, entropy = algorithm.actor_loss(rows.next_obs, ())
    by_hand = -(prob * np.where(MASK[:4] != 0, log_prob, 0.0)).sum(1)
    np.testing.assert_allclose(entropy[:4].detach().numpy(), by_hand, rtol=1e-4, atol=1e-6)
    assert torch.isfinite(loss)
    output = algorithm.learn(rows)
    assert all(np.isfinite(float(value)) for value in output.metrics.values())
    algorithm.update_actor(Batch(**{**vars(rows), "obs": rows.next_obs}))
    counts = np.maximum(MASK.sum(1), 1)
    assert float(algorithm.target_entropy) == pytest.approx(algorithm.cfg.entropy_share * np.log(counts).mean())


TABLE = spaces.Dict({"s": spaces.Discrete(3), "action_mask": spaces.MultiBinary(2)})


def table_batch(action_masks, next_masks, terminated=(False,)):
    def rows(state, mask):
        return {"s": torch.tensor([[state]]), "action_mask": torch.tensor([[mask]], dtype=torch.int8)}

    return Batch(
        rows(0, action_masks), torch.tensor([[0]]), torch.tensor([[1.0]], dtype=torch.float64), rows(1, next_masks),
        torch.tensor([list(terminated)]), torch.tensor([[False]]), reset=torch.tensor([[True]]),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [("QLearning", 2.0), ("ExpectedSarsa", 2.0), ("DynaQ", 2.0)])
def test_a_table_bootstraps_from_allowed_actions(name, value):
    kind = get_algorithm(name)
    settings = {"gamma": 0.5, "lr": 1.0, "epsilon_start": 0.4, "epsilon_end": 0.4}
    algorithm = kind(kind.Config(**settings), TABLE, spaces.Discrete(2), seed=0)
    algorithm.table.array[1] = [2.0, 10.0]  # the second is forbidden there
    algorithm.learn(table_batch([1, 1], [1, 0]))
    assert algorithm.table.array[0, 0] == pytest.approx(1.0 + 0.5 * value)
    twin = kind(kind.Config(**settings), TABLE, spaces.Discrete(2), seed=0)
    twin.load_state_dict(algorithm.state_dict())
    np.testing.assert_array_equal(twin.allowed, [[True, True], [True, False], [True, True]])


def test_random_actions_are_uniform_among_the_allowed():
    policy, obs = make("DQN", epsilon_start=1.0, epsilon_end=1.0).policy.fork(0), {}
    obs["x"], obs["action_mask"] = np.zeros((3000, 3), np.float32), np.tile([1, 0, 1, 1], (3000, 1)).astype(np.int8)
    counts = np.bincount(policy.act(obs, (), explore=True, step=0)[0], minlength=A)
    assert counts[1] == 0 and (np.abs(counts[[0, 2, 3]] - 1000) < 120).all()
    many = RandomPolicy(spaces.MultiDiscrete([2, 3])).fork(0)
    obs["action_mask"] = np.tile([0, 1, 1, 0, 1], (3000, 1)).astype(np.int8)
    actions = many.act(obs, (), explore=True, step=0)[0]
    assert set(map(tuple, actions.tolist())) == {(1, 0), (1, 2)}


def test_a_mask_that_does_not_fit_is_refused():
    wrong = spaces.Dict({"x": BOX, "action_mask": spaces.MultiBinary(3)})
    for name in ("DQN", "SAC_D", "PPO", "DRQN"):
        kind = get_algorithm(name)
        with pytest.raises(UserError, match=r"'action_mask' has shape \(3,\): .* must be \(4,\)"):
            kind(kind.Config(), wrong, spaces.Discrete(A))
    kind = get_algorithm("TD3")
    with pytest.raises(UserError, match="masks Discrete or MultiDiscrete actions"):
        kind(kind.Config(), SPACE, spaces.Box(-1, 1, (2,), np.float32))


def test_a_compiled_update_heeds_the_mask():
    eager, compiled = make("DQN"), make("DQN", compile=True)
    one, other = (algorithm.learn(batch()).metrics["train/td_loss"] for algorithm in (eager, compiled))
    assert float(other) == pytest.approx(float(one), rel=1e-5)

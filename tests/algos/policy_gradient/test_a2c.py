"""A2C: n-step returns, one update a rollout, all action spaces, memory, saved state."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.base import Batch
from algos.common.errors import UserError
from algos.common.optim import Step
from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.a3c import A3C
from algos.policy_gradient.config import A2CConfig
from algos.policy_gradient.rows import RolloutRows

torch.set_num_threads(1)  # small networks
BOX, TWO = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)
KINDS = {"memoryless": {}, "gru": {"merge_layers": [{"layer_type": "gru", "layer_size": 8}]}}
ACTIONS = [TWO, spaces.MultiDiscrete([3, 2]), spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2)]


def make(action_space=TWO, obs_space=BOX, seed=1, total_steps=None, **settings):
    return A2C(A2CConfig(**settings), obs_space, action_space, seed=seed, total_steps=total_steps)


def rollout(algorithm, generator, n_steps=5, n_envs=4):
    """Random columns; the second environment is cut in the middle, the third ends."""

    def normal(*shape):
        return torch.randn(n_steps, n_envs, *shape, generator=generator)

    space, wide = algorithm.action_space, normal(2)
    action = (wide > 0).long() if space.shape else (wide[..., 0] > 0).long()
    if isinstance(space, spaces.Box):
        action = wide
    terminated, truncated = (torch.zeros(n_steps, n_envs, dtype=torch.bool) for _ in range(2))
    truncated[2, 1] = terminated[2, 2] = True
    reset = torch.roll(terminated | truncated, 1, 0)
    value, beyond = normal(), normal()
    next_value = torch.where(truncated, beyond, torch.cat([value[1:], beyond[-1:]]))
    extras = {"log_prob": normal(), "value": value, "next_value": next_value}
    columns = normal(4), action, normal(), normal(4), terminated, truncated
    return Batch(*columns, extras, reset, algorithm.policy.init_state(n_envs))


def test_targets_are_n_step_returns():
    # lambda = 1: the rewards that follow, up to an end, and after a cut or the rollout's last step the value there
    algorithm = make(gamma=0.9)
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    advantage, target = algorithm.advantages(batch)
    for env in range(4):
        for t in range(5):
            expected = 0.0
            for k in range(t, 5):
                expected += 0.9 ** (k - t) * batch.reward[k, env].item()
                if batch.terminated[k, env]:
                    break
                if k == 4 or batch.truncated[k, env]:
                    expected += 0.9 ** (k - t + 1) * batch.extras["next_value"][k, env].item()
                    break
            assert target[t, env].item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(advantage, target - batch.extras["value"])


def test_the_loss_by_hand():
    # p = 1/4 and 3/4: -(2 log 0.25 - log 0.75) / 2; values 0 against targets 1 and 3: (1 + 9) / 2
    algorithm = make(value_coef=0.25)
    algorithm.predict = lambda _: (algorithm.net.distribution(torch.tensor([[0.25, 0.75]] * 2).log()), torch.zeros(2))
    coefs = {"entropy_coef": torch.tensor(0.5)}
    rows = RolloutRows(None, torch.tensor([0, 1]), torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0]))
    loss, metrics = algorithm.loss(coefs, rows)
    policy = -(2 * math.log(0.25) - math.log(0.75)) / 2
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert metrics["train/policy_loss"].item() == pytest.approx(policy)
    assert metrics["train/value_loss"].item() == pytest.approx(5)
    assert metrics["train/entropy_loss"].item() == pytest.approx(-entropy)
    assert loss.item() == pytest.approx(policy + 0.25 * 5 - 0.5 * entropy)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ACTIONS, ids=lambda space: type(space).__name__)
def test_one_update_a_rollout_moves_all_weights(space, kind):
    algorithm = make(space, entropy_coef=0.01, **KINDS[kind])
    before = [param.clone() for param in algorithm.net.parameters()]
    output = algorithm.learn(rollout(algorithm, torch.Generator().manual_seed(0)))
    assert output.updates == 1 and all(math.isfinite(float(value)) for value in output.metrics.values())
    assert all(not torch.equal(old, new) for old, new in zip(before, algorithm.net.parameters(), strict=True))


@pytest.mark.parametrize("normalize", [False, True])
def test_advantages_are_normalised_only_where_asked(normalize, monkeypatch):
    algorithm, seen = make(normalize_advantage=normalize), []
    monkeypatch.setattr(
        algorithm.optimizer,
        "gradient_step",
        lambda loss_fn, coefs, rows: seen.append(rows.advantage) or Step({"x": torch.tensor(0.0)}),
    )
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    algorithm.learn(batch)
    plain = algorithm.advantages(batch)[0].flatten()
    expected = (plain - plain.mean()) / (plain.std() + 1e-8) if normalize else plain
    torch.testing.assert_close(seen[0], expected)


def test_rewards_are_scaled_and_observations_normalised_from_the_next_rollout_on():
    algorithm = make(normalize_obs=True, normalize_reward=True, gamma=0.9)
    generator = torch.Generator().manual_seed(0)
    batch = rollout(algorithm, generator)
    batch.obs = batch.obs * 3 + 2
    before = algorithm.net.normalized(batch.obs)
    torch.testing.assert_close(before, batch.obs.clamp(-10, 10))  # nothing is known yet
    metrics = algorithm.learn(batch).metrics
    after = algorithm.net.normalized(batch.obs).flatten(0, 1)
    assert after.mean(0).abs().max() < 1e-4 and (after.std(0, unbiased=False) - 1).abs().max() < 1e-3
    assert float(metrics["rollout/mean_reward"]) == pytest.approx(batch.reward.mean().item())  # as it was paid
    assert algorithm.reward_scale.norm.count == 20
    weights = algorithm.policy.net.state_dict()  # what workers get
    assert {"norm.norms.0.mean", "norm.norms.0.var", "norm.norms.0.count"} <= set(weights)


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "adam"}, {"normalize_obs": True, "normalize_reward": True}, KINDS["gru"]],
    ids=["rmsprop", "adam", "scaled", "gru"],
)
def test_state_round_trip_continues_identically(settings):
    first, second = make(**settings), make(seed=9, **settings)
    generator = torch.Generator().manual_seed(0)
    first.learn(rollout(first, generator))
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        batch = rollout(first, generator)
        one, other = (algorithm.learn(batch).metrics for algorithm in (first, second))
        assert {name: float(value) for name, value in one.items()} == {name: float(v) for name, v in other.items()}


def test_the_rate_and_the_bonus_follow_the_step():
    algorithm = make(lr="lin_1e-3", entropy_coef="lin_0.1", total_steps=1000)
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    batch.step = 250
    assert algorithm.learn(batch).metrics["train/learning_rate"] == pytest.approx(7.5e-4)
    assert algorithm.loss_coefs(500)["entropy_coef"].item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": {"kind": "fast", "start": 1}}, r"algo_cfg\.lr\.kind=fast is not allowed"),
        ({"entropy_coef": "lin_1"}, r"algo_cfg\.entropy_coef=lin_1 decays until general_cfg\.max_env_step"),
    ],
)
def test_a_wrong_schedule_is_told(settings, text):
    with pytest.raises(UserError, match=text):
        make(**settings)


def test_a3c_learns_the_same_from_one_worker_at_a_time():
    cfg = A2CConfig(n_steps=7)
    spec, alone = A2C.data(cfg), A3C.data(cfg)
    assert (spec.kind, spec.n_steps, spec.by_worker) == ("rollout", 7, False)
    assert (alone.kind, alone.n_steps, alone.by_worker) == ("rollout", 7, True)
    assert A3C.learn is A2C.learn and A3C.loss is A2C.loss


def test_a3c_has_no_scale_of_rewards():
    with pytest.raises(UserError, match=r"algo_cfg\.normalize_reward=true does not go with A3C"):
        A3C(A2CConfig(normalize_reward=True), BOX, TWO)

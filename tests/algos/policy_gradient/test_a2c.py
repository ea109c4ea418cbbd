"""A2C: one update a rollout, all action spaces, memory, saved state."""

import math

import pytest
import torch
from gymnasium import spaces
from on_policy_parts import TWO, make, rollout

from algos.common.optim import Step

torch.set_num_threads(1)  # small networks
KINDS = {"memoryless": {}, "gru": {"merge_layers": [{"layer_type": "gru", "layer_size": 8}]}}
ACTIONS = [TWO, spaces.MultiDiscrete([3, 2]), spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2)]


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

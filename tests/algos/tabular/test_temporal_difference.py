"""What holds for all methods of temporal differences: order of the data, saved state."""

import copy

import numpy as np
import pytest
from tabular_batches import make, rows

from algos.tabular.dyna_q import DynaQ
from algos.tabular.q_learning import QLearning
from algos.tabular.sarsa import ExpectedSarsa, Sarsa

T, F = True, False
EPS = {"epsilon_start": 0.2, "epsilon_end": 0.2}


def test_one_rollout_and_many_give_the_same_table():
    rng = np.random.default_rng(0)
    numbers, ends = rng.integers(0, 2, (40, 4)).tolist(), (rng.random((40, 2)) < 0.2).tolist()
    steps = [(s, a, float(r), s2, *how) for (s, a, r, s2), how in zip(numbers, ends, strict=True)]
    for kind in (QLearning, ExpectedSarsa, Sarsa):
        one, many = make(kind, **EPS), make(kind, **EPS)
        one.learn(rows(*steps))
        for step in steps:
            many.learn(rows(step))
        assert np.array_equal(one.table.array, many.table.array)


@pytest.mark.parametrize("kind", [QLearning, ExpectedSarsa, Sarsa, DynaQ])
def test_state_round_trip_continues_identically(kind):
    rng = np.random.default_rng(2)

    def batch():
        s, a, r, s2 = rng.integers(0, 2, 4).tolist()
        return rows((s, a, float(r), s2, bool(rng.random() < 0.1), F), reset=[F])

    first, second = make(kind), make(kind, seed=9, initial_value=3.0)
    for _ in range(15):
        first.learn(batch())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.generator.set_state(first.generator.get_state())
    for _ in range(30):
        step = batch()
        assert first.learn(step).metrics == second.learn(step).metrics
    assert np.array_equal(first.table.array, second.table.array) and first.table.array.any()

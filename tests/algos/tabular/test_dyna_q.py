"""Dyna-Q: what it plans with, against numbers worked by hand."""

import numpy as np
from tabular_batches import make, rows

from algos.tabular.dyna_q import DynaQ
from algos.tabular.q_learning import QLearning

T, F = True, False


def test_dyna_q_plans_with_what_it_saw_last():
    algorithm = make(DynaQ, lr=1.0, gamma=0.5, planning_steps=50)
    algorithm.learn(rows((0, 1, 0.0, 1, F, F)))
    assert not algorithm.table.array.any()
    algorithm.learn(rows((1, 0, 2.0, 2, T, F)))
    # planning carries the new value 2 back over the pair that was tried before, and touches no other
    assert algorithm.table.array.tolist() == [[0, 1], [2, 0], [0, 0]]
    algorithm.learn(rows((1, 0, 6.0, 2, T, F)))
    assert algorithm.table.array.tolist() == [[0, 3], [6, 0], [0, 0]]
    assert algorithm.tried == [(0, 1), (1, 0)]


def test_dyna_q_without_planning_is_q_learning():
    rng = np.random.default_rng(1)
    steps = [(int(s), int(a), float(r), int(s2), bool(r), F) for s, a, r, s2 in rng.integers(0, 2, (30, 4))]
    dyna, plain = make(DynaQ, planning_steps=0), make(QLearning)
    for algorithm in (dyna, plain):
        algorithm.learn(rows(*steps))
    assert np.array_equal(dyna.table.array, plain.table.array)

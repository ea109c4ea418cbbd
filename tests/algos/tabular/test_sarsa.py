"""Sarsa and Expected Sarsa against numbers worked by hand."""

import pytest
from tabular_batches import make, rows, with_q

from algos.tabular.sarsa import ExpectedSarsa, Sarsa

T, F = True, False
EPS = {"epsilon_start": 0.2, "epsilon_end": 0.2}


def test_expected_sarsa_by_hand():
    algorithm = with_q(make(ExpectedSarsa, lr=0.5, gamma=0.9, **EPS), [1, 2], [3, 5], [0, 0])
    algorithm.learn(rows((0, 0, 1.0, 1, F, F)))
    # V(1) = 0.8 * 5 + 0.2 * (3 + 5) / 2 = 4.8, so Q(0, 0) = 1 + 0.5 (1 + 0.9 * 4.8 - 1)
    assert algorithm.table.array[0, 0] == pytest.approx(1 + 0.5 * 0.9 * 4.8)


def test_sarsa_waits_for_the_next_action():
    algorithm = with_q(make(Sarsa, lr=0.5, gamma=0.9, **EPS), [1, 2], [3, 5], [7, 9])
    algorithm.learn(rows((0, 0, 1.0, 1, F, F), reset=[T]))
    assert algorithm.table.array[0].tolist() == [1, 2]
    algorithm.learn(rows((1, 0, 2.0, 2, F, F), reset=[F]))
    # the action taken in state 1 was 0, though 1 is better: Q(0, 0) = 1 + 0.5 (1 + 0.9 * 3 - 1)
    assert algorithm.table.array[0, 0] == pytest.approx(2.35)
    algorithm.learn(rows((2, 1, 4.0, 0, T, F), reset=[F]))
    # Q(1, 0) = 3 + 0.5 (2 + 0.9 * 9 - 3), and the last step needs no next action: Q(2, 1) = 9 + 0.5 (4 - 9)
    assert algorithm.table.array[1, 0] == pytest.approx(6.55)
    assert algorithm.table.array[2, 1] == pytest.approx(6.5)
    assert not algorithm.waiting


def test_sarsa_at_a_cut_takes_the_mean_over_the_actions():
    algorithm = with_q(make(Sarsa, lr=1.0, gamma=0.9, **EPS), [1, 2], [3, 5], [7, 9])
    algorithm.learn(rows((0, 0, 1.0, 1, F, T)))
    assert algorithm.table.array[0, 0] == pytest.approx(1 + 0.9 * 4.8) and not algorithm.waiting


def test_sarsa_keeps_the_environments_apart():
    algorithm = with_q(make(Sarsa, lr=1.0, gamma=1.0), [0, 0], [10, 20], [30, 40])
    algorithm.learn(rows((0, 0, 1.0, 1, F, F), (0, 1, 2.0, 2, F, F), reset=[T, T], envs=2))
    algorithm.learn(rows((1, 1, 0.0, 0, T, F), (2, 0, 0.0, 0, T, F), reset=[F, F], envs=2))
    assert algorithm.table.array[0].tolist() == [21, 32]


def test_sarsa_drops_what_waits_where_another_episode_starts():
    """A loaded model may hold the last step of a run whose next action nobody will see."""
    algorithm = make(Sarsa, lr=1.0)
    algorithm.learn(rows((0, 0, 1.0, 1, F, F), reset=[T]))
    algorithm.learn(rows((1, 1, 1.0, 2, F, F), reset=[T]))
    assert not algorithm.table.array.any()

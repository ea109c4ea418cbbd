"""Q-learning, Sarsa, Expected Sarsa and Dyna-Q against numbers worked by hand."""

import copy

import numpy as np
import pytest
from gymnasium import spaces
from tabular_batches import make, rows

from algos.tabular.dyna_q import DynaQ
from algos.tabular.q_learning import QLearning
from algos.tabular.sarsa import ExpectedSarsa, Sarsa

T, F = True, False
EPS = {"epsilon_start": 0.2, "epsilon_end": 0.2}


def with_q(algorithm, *values):
    algorithm.table.array[:] = values
    return algorithm


def test_q_learning_by_hand():
    algorithm = with_q(make(QLearning, lr=0.5, gamma=0.9), [1, 2], [3, 4], [5, 6])
    output = algorithm.learn(rows((0, 0, 1.0, 1, F, F)))
    # Q(0, 0): 1 + 0.5 (1 + 0.9 * 4 - 1) = 2.8
    assert algorithm.table.array.tolist() == [[pytest.approx(2.8), 2], [3, 4], [5, 6]]
    assert output.metrics["train/td_error"] == pytest.approx(3.6)
    algorithm.learn(rows((2, 1, -1.0, 0, T, F)))
    assert algorithm.table.array[2, 1] == pytest.approx(2.5)  # 6 + 0.5 (-1 - 6): nothing after the end
    algorithm.learn(rows((1, 0, 0.0, 2, F, T)))
    assert algorithm.table.array[1, 0] == pytest.approx(3.75)  # 3 + 0.5 (0.9 * 5 - 3): a cut is not an end


def test_each_transition_of_a_rollout_is_learned_in_order():
    batch = rows(
        (0, 0, 1.0, 1, F, F), (2, 1, 0.0, 0, F, F),  # the first moment of two environments
        (1, 1, 0.0, 2, F, F), (0, 0, 1.0, 1, T, F), envs=2,
    )  # fmt: skip
    algorithm, q = make(QLearning, lr=0.5, gamma=0.9), np.zeros((3, 2))
    algorithm.learn(batch)
    for s, a, r, s2, end in ((0, 0, 1, 1, 0), (2, 1, 0, 0, 0), (1, 1, 0, 2, 0), (0, 0, 1, 1, 1)):
        q[s, a] += 0.5 * (r + 0.9 * (1 - end) * q[s2].max() - q[s, a])
    np.testing.assert_allclose(algorithm.table.array, q)
    assert q[2, 1] > 0  # it knew of what the other environment had just shown


def test_the_step_size_falls_with_the_global_step():
    algorithm = make(QLearning, lr="lin_0.8", total_steps=100)
    output = algorithm.learn(rows((0, 0, 1.0, 1, T, F), step=75))
    assert output.metrics["train/learning_rate"] == pytest.approx(0.2)
    assert algorithm.table.array[0, 0] == pytest.approx(0.2)


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


def test_observations_of_several_parts():
    algorithm = make(QLearning, obs_space=spaces.MultiDiscrete([2, 3]), lr=1.0)
    batch = rows((0, 1, 5.0, 0, T, F))
    batch.obs, batch.next_obs = batch.obs.new_tensor([[[1, 2]]]), batch.obs.new_tensor([[[0, 0]]])
    algorithm.learn(batch)
    assert algorithm.table.array[5, 1] == 5 and np.count_nonzero(algorithm.table.array) == 1

"""Q-learning against numbers worked by hand."""

import numpy as np
import pytest
from gymnasium import spaces
from tabular_batches import make, rows, with_q

from algos.tabular.q_learning import QLearning

T, F = True, False


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


def test_observations_of_several_parts():
    algorithm = make(QLearning, obs_space=spaces.MultiDiscrete([2, 3]), lr=1.0)
    batch = rows((0, 1, 5.0, 0, T, F))
    batch.obs, batch.next_obs = batch.obs.new_tensor([[[1, 2]]]), batch.obs.new_tensor([[[0, 0]]])
    algorithm.learn(batch)
    assert algorithm.table.array[5, 1] == 5 and np.count_nonzero(algorithm.table.array) == 1

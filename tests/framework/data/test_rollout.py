from dataclasses import fields

import numpy as np

from algos.data import AS_THEY_ARE, Batch
from framework.data.rollout import COLUMNS, TRANSITION, Rollout, join_workers, stack


def rollout(workers_first_env, n_envs=2, steps=3):
    column = np.arange(steps)[:, None] * 10 + np.arange(workers_first_env, workers_first_env + n_envs)
    obs = {"a": column[..., None].astype(np.float32), "b": column}
    flags = np.zeros((steps, n_envs), bool)
    state = (np.arange(workers_first_env, workers_first_env + n_envs, dtype=np.float32)[:, None], ())
    return Rollout(obs, column, column, column.astype(float), obs, flags, flags, flags, {"value": column}, state)


def test_stack_of_trees():
    rows = [{"x": np.full(2, t), "y": {"z": np.full((2, 4), t)}} for t in range(3)]
    got = stack(rows)
    assert got["x"].tolist() == [[0, 0], [1, 1], [2, 2]] and got["y"]["z"].shape == (3, 2, 4)
    assert stack(rows[:1])["x"].tolist() == [[0, 0]]
    for n in (1, 3):  # plain numbers, as discrete observations are
        assert stack([(5, np.int64(6))] * n)[0].tolist() == [5] * n and stack([5] * n).shape == (n,)


def test_workers_are_joined_along_the_environments():
    first = rollout(0)
    assert join_workers([first]) is first
    joined = join_workers([first, rollout(2), rollout(4, n_envs=1)])
    whole = rollout(0, n_envs=5)
    assert joined.steps == whole.steps == 15
    np.testing.assert_array_equal(joined.action, whole.action)
    np.testing.assert_array_equal(joined.obs["a"], whole.obs["a"])
    np.testing.assert_array_equal(joined.extras["value"], whole.extras["value"])
    np.testing.assert_array_equal(joined.state[0], whole.state[0])
    assert joined.state[1] == ()


def test_the_columns_are_those_of_batches_and_rollouts():
    assert [one.name for one in fields(Batch) if one.name not in AS_THEY_ARE] == list(COLUMNS)
    assert set(TRANSITION) < set(COLUMNS) < {one.name for one in fields(Rollout)}

"""The demo buffer: given demonstrations and interventions, shares of batches, and rows that are what happened."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from helped_env import Helped

from algos.base import RandomPolicy
from algos.common.errors import UserError
from algos.common.trees import tree_leaves
from algos.data import DataSpec
from envs.vectors.stepped import SyncVector
from framework.data.data_server import DataServer
from framework.data.demos import DemoBuffer
from framework.data.rollout import Rollout
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset, joined
from framework.training.worker import Worker

BOX = spaces.Box(-1, 1, (1,), np.float32)


def given(steps, first=0):
    """Demonstrations whose rewards are -1, -2, ... - `first`."""
    ends = np.arange(steps) == steps - 1
    obs, column = np.zeros((steps + 1, 1), np.float32), np.zeros((steps, 1), np.float32)
    reward = -1.0 - first - np.arange(steps)
    columns, starts = joined(
        [{"obs": obs, "action": column, "reward": reward, "terminated": ends, "truncated": ~ends & False}]
    )
    return DatasetBuffer(Dataset(columns, starts, BOX, BOX), seed=0)


def steps(rewards, mine=None):
    """A rollout of one environment with these rewards; `mine` marks interventions."""
    reward = np.array(rewards, float)[:, None]
    column, flags = reward.astype(np.float32)[..., None], np.zeros(reward.shape, bool)
    mask = None if mine is None else np.array(mine, bool)[:, None]
    return Rollout(column, column, column, reward, column, flags, flags, flags, intervened=mask)


def server(demos, batch_size=8, ratio=0.5):
    spec = DataSpec("replay", "REPLAY_QUE", batch_size=batch_size, capacity=1000, demo_ratio=ratio)
    made = DataServer(spec, seed=1, demos=demos)
    made.put(steps(range(1, 301)))
    return made


def test_batches_are_exactly_half_of_each_and_no_demonstration_comes_twice():
    made = server(DemoBuffer(given(200), 50, seed=3), batch_size=256)
    rewards = torch.stack([made.sample().reward for _ in range(1000)])
    assert int((rewards < 0).sum()) == int((rewards > 0).sum()) == 128_000
    assert ((rewards < 0).sum(1) == 128).all()
    assert all(len(row[row < 0].unique()) == 128 for row in rewards[:50])
    seen, counts = rewards[rewards < 0].unique(return_counts=True)
    assert len(seen) == 200 and counts.min() > 500 and counts.max() < 780  # of 640


def test_too_few_are_drawn_again_evenly_and_that_is_told():
    made = server(DemoBuffer(given(3), 50, seed=3))
    batch = made.sample()
    assert batch.told == {"demo/size": 3.0, "demo/reuse": 4 / 3}
    _, counts = batch.reward[batch.reward < 0].unique(return_counts=True)
    assert sorted(counts.tolist()) == [1, 1, 2]


def test_batches_are_of_own_steps_until_the_first_intervention():
    made = server(DemoBuffer(None, 50, seed=3))
    assert (made.sample().reward > 0).all() and made.sample().told == {}
    made.put(steps([-7, 5, -8], mine=[True, False, True]))
    batch = made.sample()
    assert sorted(batch.reward[batch.reward < 0].tolist())[:2] in ([-8, -8], [-8, -7])
    assert int((batch.reward < 0).sum()) >= 4 and batch.told == {"demo/size": 2.0, "demo/reuse": 2.0}


def test_interventions_go_into_a_ring_and_the_given_stay():
    buffer = DemoBuffer(given(2), 3, seed=0)
    buffer.add(steps([10, 11, 12, 13, 14, 15], mine=[1, 0, 1, 1, 0, 1]))
    assert buffer.size == 5
    drawn = buffer.sample(5, 0).reward
    assert sorted(drawn.tolist()) == [-2, -1, 12, 13, 15]


def test_a_resumed_buffer_goes_on_alike_and_refuses_other_demonstrations():
    one = DemoBuffer(given(4), 5, seed=2)
    one.add(steps([10, 11, 12], mine=[1, 1, 1]))
    one.sample(3, 0)
    other = DemoBuffer(given(4), 5, seed=2)
    other.load_state_dict(one.state_dict())
    for buffer in (one, other):
        buffer.add(steps([20, 21, 22], mine=[1, 0, 1]))
    assert all(torch.equal(one.sample(6, 0).reward, other.sample(6, 0).reward) for _ in range(5))
    assert "columns" not in str(one.state_dict().keys()) and len(one.state_dict()["given"]) == 64
    for others in (given(4, first=1), None):
        with pytest.raises(UserError, match=r"algo_cfg\.demo_paths: the contents are not those"):
            DemoBuffer(others, 5, seed=2).load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    ("steps", "capacity", "of_demos"), [(1000, 300, 100), pytest.param(10_000, 3000, 1000, marks=pytest.mark.slow)]
)
def test_every_row_of_full_rings_of_images_is_what_happened(steps, capacity, of_demos):
    envs = [Helped(pictures=True) for _ in range(4)]
    env = SyncVector([lambda env=env: env for env in envs])
    worker = Worker(env, RandomPolicy(env.single_action_space), seed=5, total_envs=4)
    spec = DataSpec("replay", "REPLAY_QUE", batch_size=64, capacity=capacity, demo_ratio=0.5)
    demos = DemoBuffer(None, of_demos, seed=1)
    made, rows = DataServer(spec, seed=0, demos=demos), 0
    while rows < steps:
        rollout, _ = worker.collect(25, rows)
        made.put(rollout)
        rows += rollout.steps
    known = {row[0]["state"].tobytes(): row for one in envs for row in one.log}
    order = [one.log[t][0]["state"].tobytes() for t in range(rows // 4) for one in envs]
    mine = [key for key in order if known[key][2]]
    assert made.buffer.size == capacity and demos.size == of_demos < len(mine)
    for source, expected in ((made.buffer, order[-capacity:]), (demos.added, mine[-of_demos:])):
        held = source.rows(np.arange(source.size), 0)
        assert {state.numpy().tobytes() for state in held.obs["state"]} == set(expected)
    for _ in range(20):
        batch = made.sample()
        for i in range(64):
            obs, action, helped, next_obs, terminated, truncated = known[batch.obs["state"][i].numpy().tobytes()]
            for tree, truth in ((batch.obs, obs), (batch.next_obs, next_obs)):
                assert all(np.array_equal(tree[name][i].numpy(), truth[name]) for name in truth)
            assert batch.action[i].numpy().tobytes() == action.tobytes() and batch.reward[i] == np.float32(action.sum())
            assert (bool(batch.terminated[i]), bool(batch.truncated[i])) == (terminated, truncated)
            assert helped or i < 32


def test_images_are_kept_once():
    """At most 1.1 of one picture a step and one an episode, of a full ring and of what was added."""
    envs = [Helped(pictures=True, share=0.5, length=60)]
    env = SyncVector([lambda: envs[0]])
    worker = Worker(env, RandomPolicy(env.single_action_space), seed=5, total_envs=1)
    demos, spec = DemoBuffer(None, 100, seed=1), DataSpec("replay", "REPLAY_QUE", capacity=200, batch_size=1)
    made = DataServer(spec, seed=0, demos=demos)
    made.put(worker.collect(500, 0)[0])
    for buffer in (made.buffer, demos.added):
        state = buffer.state_dict()
        arrays = [leaf for leaf in tree_leaves((state["rows"], state["frames"])) if isinstance(leaf, np.ndarray)]
        ends = sum(row[-1] or row[-2] or row[2] for row in envs[0].log[-buffer.size :])
        frames = sum(len(leaf) for leaf in arrays if leaf.dtype == np.uint8)
        pictures = 2 * (buffer.size + ends)
        assert frames <= 1.1 * pictures

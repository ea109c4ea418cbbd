"""Rows: what a step leaves, the policy's state carried along, and values where rows and episodes end."""

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from algos.base import Policy
from framework.data.rows import RowMaker, next_values

SPACE = spaces.Discrete(100, start=10)


class Counting(Policy):
    """Acts with the number of steps since its episode began, and values an observation at itself."""

    def __init__(self):
        super().__init__(nn.Linear(1, 1))

    def init_state(self, n):
        return torch.zeros(n)

    def act(self, obs, state, *, explore, step):
        return state.numpy().astype(np.int64), {"value": obs[:, 0]}, state + 1

    def env_action(self, action):
        return action + 10

    def bootstrap(self, obs, state):
        return obs[:, 0] * 100 + state.numpy()


def step(maker, obs, next_obs, *, terminated=False, truncated=False, last=False):
    env_action = maker.act(np.float32([[obs]]), explore=True, step=0)
    flags = np.array([terminated]), np.array([truncated])
    return env_action, maker.finish(np.float32([[next_obs]]), np.array([1.0]), *flags, last=last)


def test_rows_carry_state_and_episode_starts():
    maker = RowMaker(Counting(), 1, SPACE)
    start = maker.state_copy()
    steps = [step(maker, 1, 2), step(maker, 2, 3, terminated=True), step(maker, 5, 6)]
    assert [int(action[0]) for action, _ in steps] == [10, 11, 10]  # the state begins anew with the episode
    rows = [row for _, row in steps]
    assert [row["reset"].item() for row in rows] == [True, False, True]
    assert [row["action"].item() for row in rows] == [0, 1, 0]
    rollout = maker.rollout(rows, start, worker=2)
    assert rollout.steps == 3 and rollout.worker == 2 and rollout.state.tolist() == [0.0]


def test_values_of_next_observations():
    maker = RowMaker(Counting(), 1, SPACE)
    rows = [step(maker, 1, 2)[1], step(maker, 2, 3, truncated=True)[1], step(maker, 7, 8, last=True)[1]]
    columns = {"extras": {name: np.stack([row["extras"][name] for row in rows]) for name in rows[0]["extras"]}}
    columns["truncated"] = np.stack([row["truncated"] for row in rows])
    # the next row's value; at the cut that of 3 after two steps; at the end that of 8 after one
    assert next_values(columns)[:, 0].tolist() == [2.0, 302.0, 801.0]
    assert "bootstrap_value" not in columns["extras"]


def test_a_restored_maker_goes_on_alike():
    one, two = RowMaker(Counting(), 1, SPACE), RowMaker(Counting(), 1, SPACE)
    step(one, 1, 2)
    two.load_state_dict(one.state_dict())
    assert step(two, 2, 3)[0].item() == step(one, 2, 3)[0].item() == 11

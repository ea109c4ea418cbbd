"""Rows over several steps equal a look ahead, step by step, over each environment's whole stream."""

import numpy as np
import pytest
import torch
from streams import cut, stream

from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.data.n_step import NStep
from framework.data.rollout import Rollout

GAMMA = 0.9


def expected(rollout, n):
    """first step -> (reward, last step, terminated, truncated, steps), of every row that needs no more steps."""
    rows = {}
    steps, n_envs = rollout.reward.shape
    for env in range(n_envs):
        for t in range(steps):
            total = 0.0
            for k in range(n):
                if t + k == steps:
                    break
                total += GAMMA**k * rollout.reward[t + k, env]
                ends = rollout.terminated[t + k, env], rollout.truncated[t + k, env]
                if any(ends) or k == n - 1:
                    rows[rollout.action[t, env]] = (total, rollout.action[t + k, env], *ends, k + 1)
                    break
    return rows


def found(rollout):
    columns = (rollout.action, rollout.reward, -rollout.next_obs[..., 0], rollout.terminated, rollout.truncated)
    rows = zip(*(column[:, 0].tolist() for column in columns), rollout.extras["discount"][:, 0].tolist(), strict=True)
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("pieces", [[20], [1] * 20, [3, 1, 7, 2, 7], [2, 18]])
def test_rows_across_borders_and_workers(n, pieces):
    rng = np.random.default_rng(n)
    streams, n_step, rows = [stream(rng, 20, 3, worker) for worker in range(2)], NStep(n, GAMMA), {}
    start = 0
    for piece in pieces:
        for whole in streams:
            new = found(n_step(cut(whole, start, start + piece)))
            assert not set(new) & set(rows), "no row twice"
            rows |= new
        start += piece
    wanted = {first: row for whole in streams for first, row in expected(whole, n).items()}
    assert set(rows) == set(wanted)
    for first, (reward, last, terminated, truncated, steps) in wanted.items():
        assert rows[first] == pytest.approx((reward, last, terminated, truncated, GAMMA**steps), rel=1e-6)


def test_a_hand_worked_row_and_a_replaced_worker():
    reward = np.array([[1.0], [2.0], [4.0], [8.0]])
    flags = np.zeros((4, 1), dtype=bool)
    obs = np.arange(4.0)[:, None, None]
    first = Rollout(obs, obs[..., 0], obs[..., 0], reward, obs + 1, flags, flags, np.eye(4, 1, dtype=bool))
    n_step = NStep(3, 0.5)
    rows = n_step(first)
    assert rows.reward.ravel().tolist() == [1 + 1 + 1, 2 + 2 + 2] and rows.next_obs.ravel().tolist() == [3, 4]
    assert rows.extras["discount"].ravel().tolist() == [0.125, 0.125]
    rows = n_step(first)  # a worker that was replaced begins anew: what it had begun is lost
    assert rows.action.ravel().tolist() == [0, 1] and rows.reward.ravel().tolist() == [3, 6]


def test_the_server_stores_them_and_goes_on_after_a_checkpoint():
    spec = DataSpec("replay", batch_size=4, capacity=50, n_step=3, gamma=GAMMA)
    whole = stream(np.random.default_rng(7), 30, 2)
    one, two = DataServer(spec, 0), DataServer(spec, 0)
    one.put(cut(whole, 0, 11))
    two.load_state_dict(one.state_dict())
    for server in (one, two):
        server.put(cut(whole, 11, 30))
    batches = [server.sample() for server in (one, two)]
    assert one.buffer.size == len(expected(whole, 3)) or one.buffer.size == 50
    for name in ("obs", "reward", "next_obs", "terminated"):
        assert torch.equal(*(getattr(batch, name) for batch in batches))
    assert torch.equal(*(batch.extras["discount"] for batch in batches)) and batches[0].extras["discount"].shape == (4,)

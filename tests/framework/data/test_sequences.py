from dataclasses import replace

import numpy as np
import torch
from streams import cut, stream

from algos.data import DataSpec
from framework.data.data_server import DataServer


def test_sequences_keep_their_order_their_resets_and_the_state_before_them():
    spec = DataSpec("sequence", batch_size=5, capacity=32, n_steps=4, train_freq=8)
    server, whole = DataServer(spec, 0), stream(np.random.default_rng(0), 24, 2)
    assert server.buffer.capacity == 8
    due = []
    for start in range(0, 24, 4):
        state = (whole.obs[start], {"h": 2 * whole.obs[start]})
        server.put(replace(cut(whole, start, start + 4), state=state))
        due.append(server.updates_due())
        server.owed = 0
    server.put(replace(cut(whole, 0, 3), state=state))  # cut short by the end of a run
    assert due == [0, 0, 1, 1, 1, 1] and server.buffer.size == 8
    seen = set()
    for _ in range(20):
        batch = server.sample()
        assert batch.obs.shape == (5, 4, 1) and batch.reset.shape == batch.reward.shape == (5, 4)
        assert torch.equal(batch.action, batch.action[:, :1] + torch.arange(0, 8, 2))
        assert torch.equal(batch.state[0], batch.obs[:, 0]) and torch.equal(batch.state[1]["h"], 2 * batch.obs[:, 0])
        for row in range(5):
            step, env = divmod(int(batch.action[row, 0]), 2)
            assert batch.reset[row].tolist() == whole.reset[step : step + 4, env].tolist()
        seen |= set(batch.action[:, 0].tolist())
    assert seen == {8 * block + env for block in range(2, 6) for env in range(2)}  # the newest eight

import itertools

import numpy as np
import pytest
import torch
from streams import cut, stream

from algos.common.errors import UserError
from algos.data import DataSpec
from framework.data import episodes
from framework.data.data_server import DataServer
from framework.data.episodes import EpisodeBuffer
from framework.data.rollout import Rollout
from framework.runs.episodes import PIECES, EpisodeCutter


def episodes_of(whole):
    """Numbers of the steps of every finished episode of a stream, in the order in which they end."""
    end, found = whole.terminated | whole.truncated, []
    for env in range(end.shape[1]):
        begin = 0
        for stop in np.flatnonzero(end[:, env]) + 1:
            found.append(whole.action[begin:stop, env].tolist())
            begin = stop
    return found


@pytest.mark.parametrize("pieces", [[30], [1] * 30, [7, 3, 20]])
def test_every_finished_episode_comes_once_and_whole(pieces):
    server, found, start = DataServer(DataSpec("episode", batch_size=2), 0), [], 0
    streams = [stream(np.random.default_rng(worker), 30, 2, worker) for worker in range(2)]
    for number, piece in enumerate(pieces):
        for whole in streams:
            server.put(cut(whole, start, start + piece))
        start += piece
        while server.updates_due():
            batch = server.sample()
            borders = [*torch.nonzero(batch.reset).ravel().tolist(), len(batch.action)]
            assert len(borders) == 3 and batch.obs[:, 0].tolist() == batch.action.tolist()
            ends = batch.terminated | batch.truncated
            assert torch.nonzero(ends).ravel().tolist() == [border - 1 for border in borders[1:]]
            found += [batch.action[i:j].tolist() for i, j in itertools.pairwise(borders)]
        if number == 1:
            state, server = server.state_dict(), DataServer(DataSpec("episode", batch_size=2), 0)
            server.load_state_dict(state)
    wanted = [episode for whole in streams for episode in episodes_of(whole)]
    left = len(server.buffer.episodes)
    assert left < 2 and len(found) + left == len(wanted)
    assert all(episode in wanted for episode in found) and len({tuple(episode) for episode in found}) == len(found)


def test_episodes_of_a_rollout_come_env_by_env():
    number = np.array([[0, 1], [10, 11], [20, 21]])
    obs, none = number[..., None] * 1.0, np.zeros((3, 2), dtype=bool)
    terminated, truncated = none.copy(), none.copy()
    terminated[0, 1] = truncated[1, 0] = terminated[2, 1] = True
    buffer, spec = EpisodeBuffer(), DataSpec("episode", batch_size=2)
    buffer.add(Rollout(obs, number, number, number * 0.5, obs + 1, terminated, truncated, none, {"v": number}))
    assert [episode["action"].tolist() for episode in buffer.episodes] == [[0, 10], [1], [11, 21]]
    assert buffer.due(spec, 0, before=0, now=6) == 1
    batch = buffer.sample(2, step=6)
    assert batch.action.tolist() == [0, 10, 1] and batch.reset.tolist() == [True, False, True] and batch.step == 6
    assert batch.reward.tolist() == [0, 5, 0.5] and batch.next_obs.ravel().tolist() == [1, 11, 2]
    assert batch.truncated.tolist() == [False, True, False] and batch.terminated.tolist() == [False, False, True]
    assert batch.extras["v"].tolist() == [0, 10, 1]
    state = buffer.state_dict()
    assert {key: columns["action"].tolist() for key, columns in state["begun"].items()} == {"0.0": [20]}
    assert [episode["action"].tolist() for episode in state["episodes"]] == [[11, 21]]


def test_the_half_episode_of_a_replaced_worker_is_dropped():
    server = DataServer(DataSpec("episode", batch_size=1), 0)
    whole = stream(np.random.default_rng(3), 40, 1)
    begin = int(np.flatnonzero((whole.terminated | whole.truncated)[:, 0])[0]) + 1
    server.put(cut(whole, begin, begin + 1))
    before = len(server.buffer.episodes)
    server.put(whole)
    numbers = [number for episode in server.buffer.episodes[before:] for number in episode["action"].tolist()]
    assert numbers == [number for episode in episodes_of(whole) for number in episode]


def test_an_episode_that_never_ends_is_told(monkeypatch):
    monkeypatch.setattr(episodes, "LONGEST", 1000)
    buffer, rng = EpisodeBuffer(), np.random.default_rng(0)
    rollout = stream(rng, 100, 2)
    rollout.terminated[:], rollout.truncated[:], rollout.reset[:] = False, False, False
    rollout.truncated[:, 0] = np.arange(100) == 50
    with pytest.raises(
        UserError, match=r"not ended after 1,000 steps \(row 1 of worker 0\).* set general_cfg.max_step"
    ):
        for _ in range(10):
            buffer.add(rollout)
        assert buffer.lengths["0.1"] == 1000
        buffer.add(rollout)
    assert buffer.lengths["0.0"] == 49
    again = EpisodeBuffer()
    again.load_state_dict(buffer.state_dict())
    assert again.lengths["0.1"] == 1000 and again.lengths["0.0"] == 49


def test_pieces_of_a_long_episode_are_joined():
    cutter = EpisodeCutter()
    for t in range(1000):
        cutter.cut({"x": np.full((1, 1), t)}, np.zeros((1, 1), bool), ["a"])
        assert len(cutter.pieces["a"]) < PIECES
    (ended,) = cutter.cut({"x": np.full((1, 1), 1000)}, np.ones((1, 1), bool), ["a"])
    np.testing.assert_array_equal(ended.columns["x"], np.arange(1001))

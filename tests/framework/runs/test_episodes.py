import numpy as np

from framework.runs.episodes import EpisodeCutter, joined


def rollout(first, steps):
    """Steps of two environments, numbered: 10 * step + env, as a plain column and as a part of a tree."""
    number = 10 * np.arange(first, first + steps)[:, None] + np.arange(2)
    return {"number": number, "obs": {"a": number[..., None].astype(np.float32)}}


def ends(*places, steps):
    marks = np.zeros((steps, 2), dtype=bool)
    for place in places:
        marks[place] = True
    return marks


def numbers(ended):
    return [(step, env, columns["number"].tolist()) for step, env, columns in ended]


def test_episodes_come_in_the_order_in_which_they_end_over_several_rollouts():
    cutter = EpisodeCutter()
    got = cutter.cut(rollout(0, 4), ends((2, 0), (0, 1), (2, 1), steps=4), "xy")
    assert numbers(got) == [(0, 1, [1]), (2, 0, [0, 10, 20]), (2, 1, [11, 21])]
    assert got[2].columns["obs"]["a"].tolist() == [[11.0], [21.0]]
    assert not cutter.cut(rollout(4, 2), ends(steps=2), "xy")
    got = cutter.cut(rollout(6, 2), ends((1, 0), steps=2), "xy")
    assert numbers(got) == [(1, 0, [30, 40, 50, 60, 70])]
    assert {key: columns["number"].tolist() for key, columns in cutter.running().items()} == {"y": [31, 41, 51, 61, 71]}


def test_environments_are_known_by_their_keys():
    cutter = EpisodeCutter()
    cutter.cut(rollout(0, 1), ends(steps=1), range(0, 2))
    cutter.cut(rollout(5, 1), ends(steps=1), range(2, 4))
    cutter.forget([1, 3, 7])
    assert numbers(cutter.cut(rollout(1, 1), ends((0, 0), (0, 1), steps=1), range(0, 2))) == [
        (0, 0, [0, 10]),
        (0, 1, [11]),
    ]
    assert numbers(cutter.cut(rollout(6, 1), ends((0, 0), (0, 1), steps=1), range(2, 4))) == [
        (0, 0, [50, 60]),
        (0, 1, [61]),
    ]
    assert not cutter.running()


def test_what_runs_goes_on_elsewhere():
    one, other = EpisodeCutter(), EpisodeCutter()
    for first in (0, 2):
        one.cut(rollout(first, 2), ends(steps=2), "xy")
    other.resume(one.running())
    for cutter in (one, other):
        assert numbers(cutter.cut(rollout(4, 1), ends((0, 1), steps=1), "xy")) == [(0, 1, [1, 11, 21, 31, 41])]


def test_arrays_may_be_used_again():
    cutter, columns = EpisodeCutter(), rollout(0, 2)
    (ended,) = cutter.cut(columns, ends((0, 0), steps=2), "xy")
    columns["number"][:] = columns["obs"]["a"][:] = -1
    assert ended.columns["number"].tolist() == [0] and ended.columns["obs"]["a"].tolist() == [[0.0]]
    assert cutter.running()["x"]["number"].tolist() == [10]


def test_pieces_are_joined_part_by_part():
    pieces = [{"a": np.array([n, n]), "b": {"c": np.array([[n], [-n]])}} for n in (1, 2)]
    whole = joined(pieces)
    assert whole["a"].tolist() == [1, 1, 2, 2] and whole["b"]["c"].tolist() == [[1], [-1], [2], [-2]]
    assert joined(pieces[:1]) is pieces[0]

"""What an info tells of executed actions, and how interventions are counted."""

import numpy as np
import pytest
from gymnasium import spaces

from algos.common.errors import UserError
from framework.data.told.interventions import RecentInterventions, Takeovers, executed, told_means

BOX = spaces.Box(-1, 1, (2,), np.float32)
NONE = np.zeros(1, bool)


def test_a_vector_tells_by_mask_and_an_ended_episode_by_its_final_info():
    mask, done = np.array([True, True, False]), np.array([False, True, True])
    info = {
        "intervene_action": np.float32([[0.1, 0.2], [9, 9], [9, 9]]),  # of the second row: the reset's
        "_intervene_action": mask,
        "final_info": {"intervene_action": np.float32([[9, 9], [0.3, 0.4], [9, 9]]), "_intervene_action": mask},
        "_final_info": done,
    }
    found, where = executed(info, done, BOX)
    assert where.tolist() == [True, True, False]
    np.testing.assert_array_equal(found, np.float32([[0.1, 0.2], [0.3, 0.4], [0, 0]]))


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (BOX, np.array([0.5, -0.5])),
        (BOX, [0.5, -0.5]),
        (BOX, np.float32([[0.5, -0.5]])),
        (spaces.Discrete(3, start=4), 6),
        (spaces.Discrete(3, start=4), np.array([6])),
        (spaces.MultiDiscrete([2, 3]), [1, 2]),
        (spaces.MultiBinary(2), np.array([0, 1])),
        (spaces.Box(-1, 1, (1,), np.float32), np.float32([0.25])),
        (spaces.Box(-1, 1, (1, 1), np.float32), np.float32([[0.25]])),
        (spaces.Box(0, 9, (), np.float32), 3),
    ],
)
def test_an_environment_alone_tells_its_action_with_or_without_a_row(space, told):
    found, mask = executed({"intervene_action": told}, NONE, space)
    assert mask.all() and found.dtype == space.dtype and found.shape == (1, *space.shape)
    np.testing.assert_array_equal(found.ravel(), np.ravel(told))


def test_lists_and_gaps_of_a_vector():
    told = np.array([None, [0.0, 1.0], None], object)
    found, mask = executed({"intervene_action": told}, np.zeros(3, bool), BOX)
    assert mask.tolist() == [False, True, False] and found[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("space", "told", "words"),
    [
        (BOX, [0.0, np.nan], "not finite"),
        (BOX, [0.0, np.inf], "not finite"),
        (BOX, [0.0, 1.5], r"the action \[0. 1.5\] is outside Box"),
        (BOX, [0.0, 0.0, 0.0], r"expected an action of shape \[2\], got \[3\]"),
        (BOX, 0.5, r"of shape \[2\], got \[\]"),
        (BOX, [[0.0], [0.0, 1.0]], "expected an action of Box"),
        (BOX, ["a", "b"], "expected an action of Box"),
        (BOX, "left", "expected an action of Box"),
        (BOX, {"arm": [0.0, 0.0]}, r"expected an action of Box.*, got a dict with the keys arm$"),
        (BOX, {"arm": np.zeros((1, 2)), "_arm": NONE}, "got a dict with the keys arm$"),
        (BOX, [0.0, 1.0001], "outside"),
        (spaces.Discrete(3), 3, "outside"),
        (spaces.Discrete(3), -1, "outside"),
        (spaces.Discrete(3), 1.5, "outside"),
        (spaces.Discrete(3), [1, 1], r"of shape \[\], got \[2\]"),
        (spaces.MultiDiscrete([2, 3]), [1, 3], "outside"),
        (spaces.Dict({"a": BOX}), 1, "not supported"),
    ],
)
def test_what_is_no_action_is_named_by_its_key(space, told, words):
    with pytest.raises(UserError, match=r"^info\[intervene_action\]: .*" + words):
        executed({"intervene_action": told}, NONE, space)


@pytest.mark.parametrize(("space", "told"), [(BOX, [1.0000002, -1.00001]), (spaces.Box(-50, 50, (2,)), [50.0009, -50])])
def test_what_rounding_added_to_a_bound_is_cut(space, told):
    found, mask = executed({"intervene_action": told}, NONE, space)
    assert mask.all() and found[0].tolist() == [space.high[0], space.low[0]]


def test_a_vector_s_row_is_named_and_is_no_axis_of_the_action():
    info = {"intervene_action": np.zeros((1, 3)), "_intervene_action": ~NONE}
    with pytest.raises(UserError, match=r"^info\[intervene_action\]: expected .* shape \[2\], got \[3\]"):
        executed(info, NONE, BOX)
    with pytest.raises(UserError, match=r"^info\[intervene_action\], row 1: the action \[0. 7.\] is outside Box"):
        executed({"intervene_action": np.float32([[0, 0], [0, 7]])}, np.zeros(2, bool), BOX)


def test_a_vector_with_too_few_rows_is_refused():
    with pytest.raises(UserError, match="an action for each of 3 environments"):
        executed({"intervene_action": np.zeros((2, 2), np.float32)}, np.zeros(3, bool), BOX)


def test_runs_end_with_a_gap_or_their_episode():
    mask = np.array([[1, 0], [1, 1], [0, 1], [1, 1], [1, 0]], bool)
    done = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [0, 0]], bool)
    takeovers, sums = Takeovers(2), {}
    for one, ended in zip(mask, done, strict=True):
        takeovers.count(one, ended, sums)
    # first: 2, then 1 to the episode's end, then 1 that goes on; second: 2 to the end, then 1
    assert sums["intervention/takeovers"][0] == 5 and sums["intervention/length"] == (6, 4)
    assert told_means(sums, 10) == {
        "intervention/rate": 0.7, "intervention/takeovers": 5, "intervention/length": 1.5,
    }  # fmt: skip
    again = Takeovers.restored(takeovers.state_dict(), 2)
    assert again.run.tolist() == [1, 0]


def test_recent_episodes():
    recent = RecentInterventions(100)
    recent.add(0, 5, True)
    assert recent.means() == {}  # nobody has ever intervened
    recent.add(5, 10, True)
    recent.add(0, 5, False)
    assert recent.means() == {"intervention/recent_rate": 0.25, "intervention/own_success_rate": 0.5}
    for _ in range(20):
        recent.add(0, 5, True)
    assert recent.means()["intervention/recent_rate"] == 0
    assert RecentInterventions(100, recent.state_dict()).means() == recent.means()

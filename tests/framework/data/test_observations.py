"""Observations as a user has them at hand, and actions for them."""

import shlex

import numpy as np
import pytest
import torch
from framework_fakes import CountPolicy
from gymnasium import spaces
from odd_envs import Mission

from algos.common.errors import UserError
from framework.data.observations import as_batch, check_observed, next_action
from framework.settings.compose import compose

BOX = spaces.Box(-1, 1, (3,), np.float32)
DICT = spaces.Dict({"image": spaces.Box(0, 255, (2, 4), np.uint8), "n": spaces.Discrete(5)})


@pytest.mark.parametrize(
    ("space", "obs", "shape", "single"),
    [
        (BOX, [1, 2, 3], (1, 3), True),
        (BOX, np.zeros((1, 3)), (1, 3), False),
        (BOX, torch.zeros(5, 3, dtype=torch.float64), (5, 3), False),
        (BOX, np.zeros((0, 3)), (0, 3), False),
        (spaces.Box(0, 1, (), np.float64), 0.5, (1,), True),
        (spaces.Discrete(4), 3, (1,), True),
        (spaces.Discrete(4), np.int32(3), (1,), True),
        (spaces.Discrete(4), [0, 1], (2,), False),
        (spaces.MultiBinary(3), [1, 0, 1], (1, 3), True),
        (spaces.MultiDiscrete([2, 3]), [[1, 0], [0, 2]], (2, 2), False),
    ],
)
def test_one_or_a_batch(space, obs, shape, single):
    batch, is_single = as_batch(obs, space)
    assert (batch.shape, batch.dtype, is_single) == (shape, space.dtype, single)
    assert np.array_equal(batch.reshape(np.shape(obs)), np.asarray(obs))


def test_dict_and_tuple():
    one = {"n": 2, "image": np.full((2, 4), 7)}
    batch, single = as_batch(one, DICT)
    assert single and batch["image"].shape == (1, 2, 4) and batch["image"].dtype == np.uint8
    assert batch["n"].tolist() == [2] and batch["n"].dtype == np.int64
    batch, single = as_batch({"n": [1, 2], "image": np.zeros((2, 2, 4))}, DICT)
    assert not single and batch["image"].shape == (2, 2, 4)
    (first, second), single = as_batch(([0, 0, 0], one), spaces.Tuple((BOX, DICT)))
    assert single and first.shape == (1, 3) and second["n"].shape == (1,)


@pytest.mark.parametrize(
    ("space", "obs", "said"),
    [
        (BOX, np.zeros(4), r"^the observation has the shape \(4,\); a single one has \(3,\), a batch \('n', 3\)$"),
        (BOX, np.zeros((2, 2, 3)), r"shape \(2, 2, 3\)"),
        (BOX, "abc", "must be an array of numbers, not str"),
        (BOX, {"x": 1}, "must be an array of numbers, not dict"),
        (DICT, np.zeros(3), "^the observation must be a dict with the keys image, n$"),
        (DICT, {"image": np.zeros((2, 4))}, "must be a dict with the keys image, n"),
        (DICT, {"image": np.zeros((2, 4)), "n": [[1]]}, r"^the observation\['n'\] has the shape \(1, 1\)"),
        (DICT, {"image": np.zeros((2, 4)), "n": [1]}, "must all be single"),
        (DICT, {"image": np.zeros((3, 2, 4)), "n": [1, 2]}, "or all be batches of the same length"),
        (spaces.Tuple((BOX, BOX)), (np.zeros(3),), "must be a tuple of 2 parts"),
        (spaces.Box(0, 255, (8, 6, 3), np.uint8), np.zeros((8, 6, 3)), "pictures of float64 beside uint8: bytes"),
    ],
)
def test_what_does_not_fit_the_space(space, obs, said):
    with pytest.raises(UserError, match=said):
        as_batch(obs, space)


def test_the_state_goes_on_and_starts_afresh():
    policy, obs = CountPolicy(), np.zeros((2, 3), np.float32)
    seen, state = [], None
    for start in (None, None, [False, True], True, False):
        action, state = next_action(policy, obs, state, start, explore=False, step=7)
        seen.append(action.tolist())
    assert seen == [[0, 0], [1, 1], [2, 0], [0, 0], [1, 1]] and set(policy.steps) == {7}
    action, state = next_action(CountPolicy(recurrent=False), obs, None, [True, False], explore=False, step=0)
    assert action.tolist() == [0, 0] and state is None


@pytest.mark.parametrize("part", [spaces.Text(4), spaces.Graph(BOX, None), spaces.Sequence(BOX), Mission()])
def test_a_part_that_is_no_array_is_told_with_the_wrapper_that_leaves_it_out(part):
    space = spaces.Dict(image=BOX, odd=part, place=spaces.Discrete(3))
    with pytest.raises(UserError) as caught:
        check_observed(space, ["FlattenObservation"])
    text = str(caught.value)
    assert text.startswith("the observation['odd'] is a ") and "\n" not in text
    (word,) = shlex.split(text.partition("leave it out: ")[2])
    wrappers = compose([word]).env_cfg.wrappers
    assert wrappers == ["FlattenObservation", {"type": "FilterObservation", "filter_keys": ["image", "place"]}]
    with pytest.raises(UserError, match=r"gymnasium\.wrappers\.FilterObservation"):
        check_observed(space, None)
    with pytest.raises(UserError, match="a wrapper of your own"):
        check_observed(part, [])


def test_texts_may_be_collected():
    for space in (spaces.Dict(a=BOX, b=Mission()), spaces.Text(4), spaces.Tuple((BOX, spaces.Discrete(2)))):
        check_observed(space, [], text=True)
    with pytest.raises(UserError, match="Graph"):
        check_observed(spaces.Dict(a=BOX, b=spaces.Graph(BOX, None)), [], text=True)

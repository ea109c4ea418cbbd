"""The look at an environment before the run."""

import random

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from odd_envs import Endless, Four, Odd, odd

from algos.common.errors import UserError
from envs.check import check_env, check_first, check_frame, check_given, is_limited

BYTES = spaces.Box(0, 255, (3,), np.uint8)
PARTS = spaces.Dict(a=spaces.Box(-1, 1, (2,), np.float32), b=spaces.Discrete(3))
A = np.zeros(2, np.float32)


def stepping(index, value):
    """`step` with one of its five values replaced."""
    return {"step_as": lambda self, answer: (*answer[:index], value, *answer[index + 1 :])}


def resetting(answer):
    return {"reset_as": lambda self, _: answer}


REFUSED = [
    ({"obs": np.zeros(4, np.float32)}, ["reset()", "shape (4,)", "shape (3,)"]),
    (stepping(0, np.zeros((3, 1), np.float32)), ["step()", "shape (3, 1)"]),
    ({"obs": np.array([0, np.nan, 0], np.float32)}, ["NaN at (1,)"]),
    ({"obs": "text"}, ["'text'", "but its space is"]),
    ({"obs": None}, ["None"]),
    ({"observation_space": BYTES, "obs": np.full(3, 0.5)}, ["float64", "would turn into 0", "dtype=float64"]),
    ({"observation_space": BYTES, "obs": np.array([0, 0, 300])}, ["300 at (2,)", "would turn into 44"]),
    ({"observation_space": spaces.Discrete(3), "obs": 3}, ["3", "not in its space Discrete(3)"]),
    ({"observation_space": spaces.Discrete(3), "obs": np.array([1])}, ["shape (1,)"]),
    ({"observation_space": spaces.MultiBinary(2), "obs": np.array([0, 2], np.int8)}, ["not in its space"]),
    ({"observation_space": PARTS, "obs": {"a": A}}, ["without the key b"]),
    ({"observation_space": PARTS, "obs": A}, ["keys a, b"]),
    ({"observation_space": PARTS, "obs": {"a": A, "b": 5}}, ["['b']", "not in its space"]),
    ({"observation_space": spaces.Tuple((BYTES, BYTES)), "obs": (A,)}, ["Tuple of 2"]),
    ({"observation_space": None}, ["no observation_space", "self.observation_space"]),
    ({"action_space": None}, ["no action_space"]),
    ({"observation_space": (3,)}, ["observation_space is a tuple"]),
    ({"observation_space": spaces.Dict({})}, ["observation_space holds nothing"]),
    ({"observation_space": spaces.Dict(a=spaces.Box(-1, 1, (0,)))}, ["observation_space['a'] holds nothing"]),
    (stepping(1, None), ["reward None", "float(reward)"]),
    (stepping(1, 10**400), ["reward 1000", "float(reward)"]),
    ({"reset_as": lambda self, answer: (answer[0], {"action_mask": np.ones(5)})}, ["shape (5,)", "2 actions"]),
    (stepping(1, np.ones(1)), ["reward an array of shape (1,)"]),
    (stepping(1, "1"), ["reward '1'"]),
    (stepping(1, float("inf")), ["reward inf"]),
    (stepping(2, None), ["terminated=None", "True or False"]),
    (stepping(3, "False"), ["truncated='False'"]),
    (stepping(2, np.array([False])), ["terminated=an array of shape (1,)"]),
    (stepping(4, None), ["dict as info", "None"]),
    (resetting(np.zeros(3, np.float32)), ["reset() must return (obs, info)"]),
    (resetting((0.0, 0.0)), ["reset() must return (obs, info)", "2 values"]),
    ({"reset": lambda self: (self.obs, {})}, ["def reset(self, *, seed=None, options=None)"]),
    ({"step_as": Four.step_as}, ["it returned 4 values, as Gym before 0.26"]),
]


@pytest.mark.parametrize(("attributes", "parts"), REFUSED)
@pytest.mark.parametrize("limited", [False, True])
def test_what_no_run_could_work_with_is_one_line(attributes, parts, limited):
    env = odd(**attributes)
    if limited and env.observation_space is not None:
        env = gym.wrappers.TimeLimit(gym.wrappers.OrderEnforcing(env), 100)
    with pytest.raises(UserError) as caught:
        check_env(env, "env_cfg.id=X")
    text = str(caught.value)
    assert "\n" not in text and text.startswith("env_cfg.id=X") and all(part in text for part in parts), text


@pytest.mark.parametrize(
    ("attributes", "part"),
    [
        ({"obs": np.array([0, 5, 0], np.float32)}, "5.0 at (1,), outside the bounds -1.0 to 1.0"),
        ({"obs": np.zeros(3)}, "of float64, but its space is of float32"),
        ({"observation_space": PARTS, "obs": {"a": A, "b": 1, "c": 2}}, "the key c, which its space lacks"),
        (stepping(3, 0), "truncated=0, a number"),
        ({}, "general_cfg.max_step=<steps>"),
    ],
)
def test_what_is_odd_is_told_once(attributes, part):
    assert sum(part in text for text in check_env(odd(**attributes), "X")) == 1


def test_the_layer_that_is_to_blame_is_named():
    class Old(gym.Wrapper):
        def step(self, action):
            return self.env.step(action)[:3]

    with pytest.raises(UserError, match=r"X, wrapper Old: step.* returned 3 values"):
        check_env(gym.wrappers.TimeLimit(Old(Odd()), 9), "X")


def test_an_exception_of_the_environment_stays_one():
    with pytest.raises(ZeroDivisionError):
        check_env(odd(step_as=lambda self, answer: 1 / 0), "X")


def test_random_streams_of_the_process_go_on_as_if_nobody_had_looked():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    check_env(odd(step_as=lambda self, answer: (random.random(), np.random.random(), answer)[2]), "X")
    assert (random.random(), np.random.random()) == expected


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3])])
def test_masked_actions_are_not_tried(space):
    class Masked(Odd):
        action_space = space
        mask = np.array([0, 0, 1]) if isinstance(space, spaces.Discrete) else np.array([0, 1, 0, 0, 1])

        def reset_as(self, answer):
            return answer[0], {"action_mask": self.mask}

        def step(self, action):
            assert np.asarray(action).tolist() in (2, [1, 2])
            return (*super().step(action)[:4], {"action_mask": self.mask})

    check_env(Masked(), "X")


def test_an_object_is_looked_at_in_a_copy():
    env = Odd()
    env.reset(seed=3)
    env.step(0)
    before = env.np_random.bit_generator.state
    check_given(env, "X")
    assert env.t == 1 and env.np_random.bit_generator.state == before
    with pytest.raises(UserError, match="4 values"):
        check_given(SyncVectorEnv([Four], autoreset_mode=AutoresetMode.SAME_STEP), "X")


def test_what_cannot_be_copied_is_not_stepped():
    env = odd(__deepcopy__=lambda self, memo: 1 / 0)
    check_given(env, "X")
    assert env.t == 0
    with pytest.raises(UserError, match="no action_space"):
        check_given(odd(__deepcopy__=lambda self, memo: 1 / 0, action_space=None), "X")
    with pytest.raises(UserError, match=r"X: reset\(\) returned an observation of shape \(2, 4\)"):
        check_first(np.zeros((2, 4)), spaces.Box(-1, 1, (2, 3)), "X")


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (None, "NoneType"),
        ([np.zeros((4, 4, 3), np.uint8)], "a list of frames"),
        (np.zeros((3, 40, 40), np.uint8), "np.moveaxis(frame, 0, -1)"),
        (np.zeros((0, 4, 3), np.uint8), "shape (0, 4, 3)"),
    ],
)
def test_a_frame_that_is_no_picture(frame, part):
    with pytest.raises(UserError) as caught:
        check_frame(odd(render=lambda self: frame), "X")
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_render_that_fails_is_one_line():
    with pytest.raises(UserError, match=r"X cannot render .*ZeroDivisionError.*leave render_mode out"):
        check_frame(odd(render=lambda self: 1 / 0), "X")


def test_what_limits_an_episode():
    assert not is_limited(Endless()) and is_limited(gym.wrappers.TimeLimit(Endless(), 5))
    assert is_limited(gym.make("CartPole-v1")) and not is_limited(gym.make("CliffWalking-v1"))
    assert is_limited(odd(always_ends=True))

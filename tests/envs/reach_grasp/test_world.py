"""ReachGrasp: spaces, the rules of a grasp, cameras, resuming, and what is refused."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.reach_grasp.world import ReachGrasp

MODES = [
    ({"gripper": "fixed"}, 6), ({}, 7), ({"hands": 2, "gripper": "fixed"}, 12), ({"hands": 2}, 14),
    ({"motion": 3}, 4), ({"motion": 3, "gripper": "fixed"}, 3), ({"motion": 3, "hands": 2}, 8),
]  # fmt: skip
CLOSE, HOLD, OPEN = -1.0, 0.0, 1.0


def over_the_object(**kwargs):
    """A world whose grippers stand low and open over their objects."""
    env = ReachGrasp(image_size=32, motion=3, **kwargs)
    env.reset(seed=0)
    env.tip[:, :2], env.tip[:, 2] = env.object[:, :2], 0.05
    return env


def act(env, *numbers):
    return env.step(np.array(numbers, np.float32))


@pytest.mark.parametrize(("kwargs", "size"), MODES)
def test_gymnasium_finds_nothing_to_complain_of_in_any_mode(kwargs, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("joyride/ReachGrasp-v0", image_size=32, **kwargs).unwrapped
        check_env(env)
    assert env.action_space == gym.spaces.Box(-1.0, 1.0, (size,), np.float32)
    cameras = {"overhead", "wrist"} | ({"wrist_2"} if env.hands == 2 else set())
    assert set(env.observation_space) == {*cameras, "state"}
    assert all(env.observation_space[name].shape == (32, 32, 3) for name in cameras)
    assert env.observation_space["state"].shape == (4 * env.hands,)


def test_a_grasp_and_a_lift_pay_one():
    env = over_the_object()
    obs, reward, terminated, truncated, info = act(env, 0, 0, 0, CLOSE)
    assert env.held[0] and reward == 0 and not terminated and info["is_success"] is False
    np.testing.assert_allclose(obs["state"], [*env.tip[0], 0.5], rtol=1e-6)
    steps = 0
    while not terminated:
        obs, reward, terminated, truncated, info = act(env, 0, 0, 1, HOLD)
        steps += 1
    assert steps == 3 and obs["state"][2] > 0.25  # 0.05 + 3 x 0.08
    assert (reward, truncated, info["is_success"], info["success"]) == (1.0, False, True, True)


def test_a_close_that_misses_must_open_first():
    env = over_the_object()
    env.object[0, 0] += 0.1  # beyond the reach of 0.09
    for opening in (0.5, 0.0):
        act(env, 0, 0, 0, -0.5)
        assert not env.held[0] and env.opening[0] == opening
    env.object[0, 0] -= 0.1
    act(env, 0, 0, 0, CLOSE)
    assert not env.held[0]
    for command in (0.5, OPEN, CLOSE):
        act(env, 0, 0, 0, command)
    assert env.held[0]


def test_commands_between_hold_and_opening_drops():
    env = over_the_object()
    for command in (-0.49, 0.49):
        act(env, 0, 0, 0, command)
        assert env.opening[0] == 1 and not env.held[0]
    act(env, 0, 0, 0, CLOSE)
    act(env, 1, 0, 1, HOLD)
    np.testing.assert_array_equal(env.object[0], env.tip[0])
    act(env, 0, 0, 0, OPEN)
    assert not env.held[0] and env.object[0, 2] == 0


def test_what_is_high_is_not_grasped():
    env = over_the_object()
    env.tip[0, 2] = 0.09
    act(env, 0, 0, 0, CLOSE)
    assert not env.held[0]


def test_a_fixed_gripper_closes_by_itself():
    env = over_the_object(gripper="fixed")
    env.tip[0, 2] = 0.2
    act(env, 0, 0, 0)
    assert not env.held[0] and env.opening[0] == 1
    for _ in range(2):
        act(env, 0, 0, -1)
    assert env.held[0] and env.opening[0] == 0.5


def test_two_hands_must_lift_both_and_keep_to_their_halves():
    env = over_the_object(hands=2, gripper="fixed")
    assert (env.object[:, 0] * (-1, 1) >= 0.1).all()
    act(env, *[0] * 6)
    for _ in range(4):
        assert not act(env, 0, 0, 1, 0, 0, 0)[2]
    for _ in range(3):
        *_, terminated, _, _ = act(env, 0, 0, 0, 0, 0, 1)
    assert terminated
    env.reset()
    for _ in range(20):
        act(env, 1, 0, 0, -1, 0, 0)
    np.testing.assert_array_equal(env.tip[:, 0], 0)


def test_rotations_are_seen_and_have_no_part_in_the_rules():
    one, other = ReachGrasp(), ReachGrasp()
    one.reset(seed=2), other.reset(seed=2)
    turned, straight = (
        env.step(np.float32([0, 0, 0, *turn, 0]))[0] for env, turn in ((one, [1] * 3), (other, [0] * 3))
    )
    np.testing.assert_array_equal(turned["state"], straight["state"])
    for camera in ("overhead", "wrist"):
        assert (turned[camera] != straight[camera]).any()


@pytest.mark.parametrize(("grade", "limit"), [("easy", 60), ("hard", 100)])
def test_the_episode_is_truncated_at_the_limit(grade, limit):
    env = gym.make("joyride/ReachGrasp-v0", grade=grade, image_size=32)
    env.reset(seed=0)
    ends = [env.step(np.zeros(7, np.float32))[2:4] for _ in range(limit)]
    assert ends == [(False, False)] * (limit - 1) + [(False, True)]


def test_cameras_show_where_the_object_is():
    """Without the gripper above it: the reddest (greenest, bluest) place of the overhead camera is the object."""
    env = ReachGrasp()
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        channel = int(np.argmax(env.colour[0]))
        image = obs["overhead"].astype(float)
        rest = image.sum(2) - image[..., channel]
        row, column = np.unravel_index(np.argmax(image[..., channel] - rest / 2), (64, 64))
        x, y = (column + 0.5) / 32 * 1.12 - 1.12, 1.12 - (row + 0.5) / 32 * 1.12
        np.testing.assert_allclose([x, y], env.object[0, :2], atol=0.1)


def test_observations_are_not_written_to_later():
    env = ReachGrasp(image_size=32)
    first, _ = env.reset(seed=0)
    kept = {name: value.copy() for name, value in first.items()}
    env.step(env.action_space.sample())
    assert all((first[name] == kept[name]).all() for name in kept)


def test_the_frame_is_large_and_tells_what_happens():
    frame = gym.make("joyride/ReachGrasp-v0", render_mode="rgb_array", hands=2)
    frame.reset(seed=0)
    picture = frame.render()
    assert picture.dtype == np.uint8 and picture.shape[0] >= 256 and picture.shape[1] >= 3 * 256
    text = picture[270:]
    assert (text.max(2) > 200).sum() > 100


@pytest.mark.parametrize("kwargs", [{}, {"hands": 2, "grade": "hard"}])
def test_a_resumed_world_goes_on_bit_for_bit(kwargs):
    cfg = EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32, **kwargs})
    env, other = make_env(cfg), make_env(cfg)
    env.reset(seed=5)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(180)]
    for action in actions[:75]:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    assert other.restore(env.snapshot()) is None
    for action in actions[75:]:
        one, two = env.step(action), other.step(action)
        for name in one[0]:
            np.testing.assert_array_equal(one[0][name], two[0][name])
        assert one[1:4] == two[1:4]
        if one[2] or one[3]:
            env.reset(), other.reset()


def test_rows_of_a_vector_differ():
    venv = make_vector_env(EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}), 2)
    obs, _ = venv.reset(seed=[0, 1])
    assert (obs["state"][0] != obs["state"][1]).any()
    venv.close()


def test_an_action_with_nan_is_named_and_leaves_the_episode_as_it_was():
    env = gym.make("joyride/ReachGrasp-v0", image_size=32).unwrapped
    env.reset(seed=0)
    before = env.tip.copy()
    with pytest.raises(ValueError, match=r"^the action \[nan, 0.0, .* holds nan"):
        env.step(np.array([np.nan, 0, 0, 0, 0, 0, 0]))
    assert (env.tip == before).all() and env.steps == 0
    assert np.isfinite(env.step(np.ones(7))[0]["state"]).all()


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"grade": "esay"}, "env_cfg.kwargs.grade=esay is not allowed; did you mean 'easy'?"),
        ({"gripper": "lerned"}, "env_cfg.kwargs.gripper=lerned is not allowed; did you mean 'learned'?"),
        ({"hands": 3}, "env_cfg.kwargs.hands=3 is not allowed; choose 1 or 2"),
        ({"hands": 2.0}, "env_cfg.kwargs.hands=2.0 is not allowed; choose 1 or 2"),
        ({"motion": 6.0}, "env_cfg.kwargs.motion=6.0 is not allowed; choose 3 or 6"),
        ({"motion": 4}, "env_cfg.kwargs.motion=4 is not allowed; choose 3 or 6"),
        ({"image_size": 200}, "env_cfg.kwargs.image_size=200 must be a whole number from 32 to 128"),
    ],
)
def test_what_does_not_fit_is_told(kwargs, text):
    with pytest.raises(UserError) as caught:
        make_env(EnvConfig(id="joyride/ReachGrasp-v0", kwargs=kwargs))
    assert str(caught.value).startswith(text)

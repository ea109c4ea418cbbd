"""Keyboard and gamepad with events put into pygame's queue, without a display."""

import os
import subprocess
import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium import spaces

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.intervention.hands import Hands
from envs.intervention.window import Window
from envs.intervention.wrapper import Intervention
from envs.make import make_env, make_vector_env, spaces_of

STILL = np.full(7, 0.1, np.float32)


@pytest.fixture(autouse=True)
def _no_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    if Window._open is not None:
        Window._open.close()


@pytest.fixture
def pad(monkeypatch):
    """SDL has no gamepad here: one is claimed, its events are put into the queue."""
    monkeypatch.setattr(pygame.joystick, "get_count", lambda: 1)
    monkeypatch.setattr(pygame.joystick, "Joystick", lambda index: SimpleNamespace(index=index))


def made(device="keyboard", kwargs=None, **settings):
    inner = gym.make("joyride/ReachGrasp-v0", image_size=32, **(kwargs or {}))
    env = Intervention(inner, device=device, fps=0, **settings)
    env.reset(seed=0)
    return env


def press(*keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


def release(*keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))


def button(number, down=True):
    pygame.event.post(pygame.event.Event(pygame.JOYBUTTONDOWN if down else pygame.JOYBUTTONUP, button=number))


def stick(axis, value):
    pygame.event.post(pygame.event.Event(pygame.JOYAXISMOTION, axis=axis, value=value))


def executed(env, size=7):
    """The person's action in a step, or None."""
    return env.step(STILL[:1].repeat(size))[-1].get("intervene_action")


def test_space_takes_over_and_hands_back():
    env = made()
    assert executed(env) is None
    press(pygame.K_SPACE)
    np.testing.assert_array_equal(executed(env), np.zeros(7))
    release(pygame.K_SPACE)
    assert executed(env) is not None
    press(pygame.K_SPACE)
    assert executed(env) is None


def test_with_hold_space_is_held():
    env = made(hold=True)
    press(pygame.K_SPACE)
    assert executed(env) is not None and executed(env) is not None
    release(pygame.K_SPACE)
    assert executed(env) is None


@pytest.mark.parametrize(
    ("key", "entry", "value"),
    [
        (pygame.K_LEFT, 0, -1), (pygame.K_RIGHT, 0, 1), (pygame.K_UP, 1, 1), (pygame.K_DOWN, 1, -1),
        (pygame.K_PAGEUP, 2, 1), (pygame.K_PAGEDOWN, 2, -1), (pygame.K_r, 2, 1), (pygame.K_f, 2, -1),
        (pygame.K_a, 3, -1), (pygame.K_w, 4, 1), (pygame.K_e, 5, -1), (pygame.K_c, 6, -1), (pygame.K_o, 6, 1),
    ],
)  # fmt: skip
def test_each_key_moves_its_number_while_it_is_down(key, entry, value):
    env = made()
    press(pygame.K_SPACE, key)
    expected = np.zeros(7)
    expected[entry] = value
    np.testing.assert_array_equal(executed(env), expected)
    release(key)
    np.testing.assert_array_equal(executed(env), np.zeros(7))


def test_several_keys_at_once_at_a_share_of_the_speed():
    env = made(speed=0.5)
    press(pygame.K_SPACE, pygame.K_LEFT, pygame.K_UP, pygame.K_c, pygame.K_q, pygame.K_e)
    np.testing.assert_array_equal(executed(env), [-0.5, 0.5, 0, 0, 0, 0, -1])


def test_keys_that_the_window_no_longer_sees_count_as_up():
    env = made(hold=True)
    press(pygame.K_SPACE, pygame.K_LEFT)
    assert executed(env)[0] == -1
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    assert executed(env) is None


@pytest.mark.parametrize(("key", "success"), [(pygame.K_RETURN, True), (pygame.K_BACKSPACE, False)])
def test_return_and_backspace_end_the_episode(key, success):
    env = made()
    press(key)
    *_, reward, terminated, truncated, info = env.step(STILL)
    assert (reward, terminated, truncated, info["success"]) == (float(success), True, False, success)
    assert "intervene_action" not in info
    env.reset()
    assert not env.step(STILL)[2]


def test_tab_moves_the_other_hand():
    env = made(kwargs={"hands": 2})
    press(pygame.K_SPACE, pygame.K_LEFT, pygame.K_c)
    np.testing.assert_array_equal(executed(env, 14), [-1, 0, 0, 0, 0, 0, -1, *[0] * 7])
    press(pygame.K_TAB)
    np.testing.assert_array_equal(executed(env, 14), [*[0] * 7, -1, 0, 0, 0, 0, 0, -1])


def test_the_window_shows_the_cameras_and_who_acts():
    env = made()
    policy = pygame.surfarray.array3d(pygame.display.get_surface())
    width, height = policy.shape[:2]
    assert width >= 2 * 240 and height > 240
    view = env.env.unwrapped._obs()["overhead"].transpose(1, 0, 2)
    np.testing.assert_array_equal(policy[4:256:8, 4:256:8], view)
    press(pygame.K_SPACE)
    executed(env)
    line = pygame.surfarray.array3d(pygame.display.get_surface())[:, 256:280]
    assert (line[..., 0].astype(int) - line[..., 2] > 150).any() and not (
        policy[:, 256:280, 0].astype(int) - policy[:, 256:280, 2] > 150
    ).any()


def test_closing_the_window_ends_the_interventions():
    env = made()
    press(pygame.K_SPACE)
    assert executed(env) is not None
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert executed(env) is None and pygame.display.get_surface() is None
    env.reset()
    assert executed(env) is None
    env.close()


def test_a_resumed_run_replays_what_the_person_did():
    item = {"type": "Intervention", "device": "keyboard", "fps": 0}
    cfg = EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item])
    env = make_env(cfg)
    env.reset(seed=1)
    env.step(STILL)
    press(pygame.K_SPACE, pygame.K_LEFT, pygame.K_c)
    for _ in range(4):
        env.step(STILL)
    press(pygame.K_SPACE)
    obs, *_ = env.step(STILL)
    snapshot = env.snapshot()
    env.close()
    other = make_env(cfg)
    assert other.restore(snapshot) is None
    for name in obs:
        np.testing.assert_array_equal(other.last_obs[name], obs[name])
    press(pygame.K_SPACE)
    assert other.step(STILL)[-1].get("intervene_action") is not None  # and now the person is asked again
    assert len(other.snapshot()["told"][0]) == 7


def test_the_pace_is_kept():
    env = Intervention(gym.make("joyride/ReachGrasp-v0", image_size=32), device="keyboard", fps=50)
    waits = []
    env.device._clock = SimpleNamespace(tick=waits.append)
    env.reset(seed=0)
    env.step(STILL)
    assert waits == [50]


def test_sticks_and_buttons(pad):
    env = made("gamepad")
    stick(0, 0.5), stick(1, -1.0), stick(4, 0.25), stick(3, 0.09)
    assert executed(env) is None
    button(4), button(0)
    np.testing.assert_allclose(executed(env), [0.5, 1, -0.25, 0, 0, 0, -1])
    button(0, down=False), button(1), stick(3, -0.5)
    np.testing.assert_allclose(executed(env), [0.5, 1, -0.25, 0, 0, 0.5, 1])
    button(4, down=False)
    assert executed(env) is None
    button(7)
    assert env.step(STILL)[1:3] == (1.0, True)
    env.reset()
    button(6)
    assert env.step(STILL)[1:3] == (0.0, True)


def test_other_buttons_and_hands(pad):
    env = made("gamepad", kwargs={"hands": 2, "gripper": "fixed"}, buttons={"act": 9})
    button(9), button(3), stick(0, 1.0)
    np.testing.assert_array_equal(executed(env, 12), [*[0] * 6, 1, *[0] * 5])


def test_without_a_gamepad_it_is_told():
    with pytest.raises(UserError, match="device=gamepad: no gamepad was found; connect one, or use device: keyboard"):
        made("gamepad")
    made("keyboard").close()  # its window was closed


@pytest.mark.parametrize(
    ("device", "settings", "text"),
    [
        ("keyboard", {"fsp": 3}, "device=keyboard has no parameter 'fsp'; did you mean 'fps'?"),
        ("keyboard", {"fps": -1}, "fps=-1 must be a number of at least 0"),
        ("keyboard", {"fps": float("inf")}, "fps=inf must be a number of at least 0"),
        ("keyboard", {"speed": 2}, "device=keyboard: speed=2 must be above 0"),
        ("keyboard", {"speed": True}, "device=keyboard: speed=True must be above 0"),
        ("keyboard", {"hold": "no"}, "device=keyboard: hold=no must be true or false"),
        ("gamepad", {"buttons": 5}, "device=gamepad: buttons=5 must give buttons their numbers"),
        ("gamepad", {"buttons": ["act"]}, "device=gamepad: buttons=['act'] must give buttons their numbers"),
        ("gamepad", {"buttons": {1: 2}}, "device=gamepad: no button 1; known: act"),
        ("gamepad", {"dead": False}, "device=gamepad: dead=False must be"),
        ("gamepad", {"buttons": {"acr": 1}}, "device=gamepad: no button 'acr'; did you mean 'act'?"),
        ("gamepad", {"buttons": {"act": "A"}}, "device=gamepad: buttons.act=A must be the number"),
        ("gamepad", {"dead": 1}, "device=gamepad: dead=1 must be"),
        ("keyboard", {"hands": 3}, "hands=3 does not fit"),
        ("keyboard", {"hands": True}, "hands=True does not fit"),
        ("keyboard", {"hands": 1.0}, "hands=1.0 does not fit"),
    ],
)
def test_settings_that_do_not_fit_are_told(device, settings, text):
    item = {"type": "Intervention", "device": device, **settings}
    with pytest.raises(UserError) as caught:
        make_env(EnvConfig(id="joyride/ReachGrasp-v0", wrappers=[item]))
    assert str(caught.value).startswith(f"env_cfg.wrappers[0]: {text}")


def test_one_person_steers_one_environment():
    item = {"type": "Intervention", "device": "keyboard", "fps": 0}
    cfg = EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item])
    assert spaces_of(cfg)[1].shape == (7,)  # made to be looked at: no window
    venv = make_vector_env(cfg, 2)
    with pytest.raises(UserError, match="one person steers one environment: n_envs=1"):
        venv.reset(seed=0)
    venv.close()
    assert Window._open is None


@pytest.mark.parametrize("device", ["keyboard", "gamepad"])
def test_a_missing_pygame_is_told(device, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UserError) as caught:
        made(device)
    assert str(caught.value) == f'device={device} needs pygame: pip install "gymnasium[classic-control]"'


def test_a_missing_display_is_told(monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(UserError, match="device=keyboard needs a display and found none"):
        made()
    env = make_env(EnvConfig(id="joyride/ReachGrasp-v0", wrappers=[{"type": "Intervention", "device": "keyboard"}]))
    for _ in range(2):  # whoever asks again, to find who is to blame, hears the same
        with pytest.raises(UserError, match="device=keyboard needs a display and found none"):
            env.reset(seed=0)


def test_pygame_is_loaded_by_its_devices_alone():
    code = (
        "import sys; from envs.config import EnvConfig; from envs.make import make_env;"
        "make_env(EnvConfig(id='joyride/ReachGrasp-v0', wrappers=['Intervention'])).reset(seed=0);"
        "assert 'pygame' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class Arm(gym.Env):
    """An environment that says nothing about its hands."""

    def __init__(self, size):
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(0, 2, (size,), np.float32)


@pytest.mark.parametrize(
    ("size", "hands", "motion", "gripper"),
    [
        (6, None, 6, False),
        (7, None, 6, True),
        (12, 2, 6, False),
        (14, 2, 6, True),
        (3, None, 3, False),
        (8, 2, 3, True),
    ],
)  # fmt: skip
def test_hands_follow_from_the_size_of_an_action(size, hands, motion, gripper):
    found = Hands(Arm(size), hands)
    assert (found.count, found.motion, found.has_gripper) == (hands or 1, motion, gripper)
    action = found.action(found.count - 1, [1] * 6, -1.0)
    assert action.shape == (size,) and action[0] == (2 if found.count == 1 else 1)  # 1 is the middle of 0 to 2
    assert action[-1] == (0 if gripper else 2)


def test_people_need_box_actions():
    with pytest.raises(UserError, match=r"needs Box actions of one dimension, not Discrete\(2\)"):
        Hands(gym.make("CartPole-v1"), None)


def test_without_a_display_sdl_prints_no_lines_of_its_own():
    code = (
        "from algos.common.errors import UserError; from tests.envs.intervention.test_people import made\n"
        "try: made()\n"
        "except UserError as error: print(error)"
    )
    gone = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER")
    env = {name: value for name, value in os.environ.items() if name not in gone}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("device=keyboard needs a display and found none") and done.stderr == ""

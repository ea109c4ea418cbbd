"""Environment variables of drawing libraries."""

import pytest
from odd_envs import Odd

from envs import drivers
from envs.drivers import choose_drivers, draw_without_display

NAMES = ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER", "MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")
Simulated = type("Simulated", (Odd,), {"__module__": "some.mujoco.env"})


@pytest.fixture
def variables(monkeypatch):
    import os

    for name in NAMES:
        monkeypatch.setenv(name, "x")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setattr(drivers.sys, "platform", "linux")
    monkeypatch.setattr(drivers, "_silenced", [])
    monkeypatch.delitem(drivers.sys.modules, "mujoco", raising=False)
    yield os.environ


def test_frames_are_drawn_as_the_environment_does_it(variables):
    choose_drivers("rgb_array", Odd)
    assert variables["SDL_AUDIODRIVER"] == "dummy" and "SDL_VIDEODRIVER" not in variables
    assert "MUJOCO_GL" not in variables
    assert draw_without_display() and variables["SDL_VIDEODRIVER"] == "dummy" and not draw_without_display()
    choose_drivers("human", Odd)
    assert not {"SDL_AUDIODRIVER", "SDL_VIDEODRIVER"} & set(variables)


@pytest.mark.parametrize(("library", "chosen"), [("EGL", "egl"), ("OSMesa", "osmesa"), (None, None)])
def test_mujoco_draws_without_a_display(variables, monkeypatch, library, chosen):
    monkeypatch.setattr(drivers.ctypes.util, "find_library", lambda name: name if name == library else None)
    choose_drivers("rgb_array", type("Mine", (Simulated,), {}))
    assert variables.get("MUJOCO_GL") == chosen


def test_an_environment_with_one_of_mujocos_inside_is_told_by_the_import(variables, monkeypatch):
    monkeypatch.setattr(drivers.ctypes.util, "find_library", lambda name: name)
    monkeypatch.setitem(drivers.sys.modules, "mujoco", drivers)
    choose_drivers("rgb_array", Odd)
    assert variables["MUJOCO_GL"] == "egl"


def test_what_the_user_has_set_stays(variables, monkeypatch):
    monkeypatch.setattr(drivers.ctypes.util, "find_library", lambda name: name)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    choose_drivers("rgb_array", Simulated)
    assert variables["MUJOCO_GL"] == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setenv("DISPLAY", ":0")
    choose_drivers("rgb_array", Simulated)
    assert "MUJOCO_GL" not in variables

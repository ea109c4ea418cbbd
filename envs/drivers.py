"""What drawing libraries are told by environment variables: frames need no display. Set before anything is drawn."""

import ctypes.util
import os
import sys
import tempfile
from typing import Any

_SOUND, _VIDEO = "SDL_AUDIODRIVER", "SDL_VIDEODRIVER"
_silenced: list[str] = []  # those of SDL's that this module has set


def headless() -> bool:
    """Whether this machine shows no windows."""
    return sys.platform == "linux" and not any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def choose_drivers(render_mode: str | None, creator: Any) -> None:
    """Prepare for an environment of the class or function `creator`; what the user has set stays.

    SDL, which pygame draws with, plays no sound for frames; MuJoCo draws by EGL, or OSMesa, where there is no display.
    """
    if render_mode == "rgb_array":
        _silence(_SOUND)
    elif render_mode == "human":  # after frames, in one process
        while _silenced:
            os.environ.pop(_silenced.pop(), None)
    if render_mode is not None and headless():
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # else SDL complains of its lack
        library = next((name for name in ("EGL", "OSMesa") if ctypes.util.find_library(name)), None)
        if render_mode == "rgb_array" and library and _is_mujoco(creator):
            os.environ.setdefault("MUJOCO_GL", library.lower())


def draw_without_display() -> bool:
    """Tell SDL to draw into nothing, for an environment that found no display; False if that was so already.

    Not done beforehand: there are environments that then draw no frame either.
    """
    if _VIDEO in os.environ:
        return False
    _silence(_VIDEO)
    return True


def _silence(name: str) -> None:
    if name not in os.environ:
        os.environ[name] = "dummy"
        _silenced.append(name)


def _is_mujoco(creator: Any) -> bool:
    if "mujoco" in sys.modules:  # an environment may have one of MuJoCo's inside, as the mazes of Gymnasium-Robotics
        return True
    kinds = creator.__mro__ if isinstance(creator, type) else (creator,)
    return any("mujoco" in f"{kind.__module__}.{kind.__qualname__}".lower() for kind in kinds)

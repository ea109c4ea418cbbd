"""What a device is, and how one is found by its name."""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from algos.common.dotted_path import check_kwargs, import_object
from algos.common.errors import UserError, did_you_mean
from algos.common.settings import require
from envs.arguments import as_annotated

DEVICES = {
    "scripted": "envs.intervention.scripted:Scripted",
    "keyboard": "envs.intervention.keyboard:Keyboard",
    "gamepad": "envs.intervention.gamepad:Gamepad",
}
METHODS = ("read", "active", "close")
OTHERS = {"begin": ("seed",), "end": ("success",), "verdict": (), "show": ("obs",)}  # that it may have: its arguments


class Device(Protocol):
    """Somebody who may act in the policy's place; made as `kind(env, **settings)`.

    `active` is called once before each step, and `read` after it if it said yes. A device may also have `begin(seed)`
    (an episode has begun; seed is None unless the reset got one), `end(success)`, `verdict()` (asked after each step:
    True or False ends the episode as a success or a failure, None does not), `show(obs)`, and `memory`, an attribute of
    plain data: what it keeps over an episode's end, which a resumed run sets again. A class that says `alone = True`
    serves one environment of a run.
    """

    def read(self) -> Any:
        """The action to execute, in the environment's units."""

    def active(self) -> bool:
        """Whether the device acts in this step."""

    def close(self) -> None:
        """Let go of windows and the like; may be called twice."""


def make_device(name: str, env: gym.Env, settings: Mapping[str, Any]) -> Any:
    """The device of this name, or at the path "module:Class", for `env`.

    Raises UserError for a name that is unknown, a class without a device's methods, and settings that do not fit.
    """
    kind = find_device(name)
    _check_takes(kind, f"device={name}: __init__", ("env",))
    check_kwargs(kind, settings, f"device={name}", given=1)
    device = kind(env, **as_annotated(kind, settings))
    for method, args in {**dict.fromkeys(METHODS, ()), **OTHERS}.items():
        if callable(getattr(device, method, None)):
            _check_takes(getattr(device, method), f"device={name}: {method}", args)
    return device


def find_device(name: str) -> Any:
    """The class of this name, or at the path; UserError where there is none, or it lacks a device's methods."""
    known = isinstance(name, str) and name in DEVICES
    if not known and not (isinstance(name, str) and ("." in name or ":" in name)):
        raise UserError(f"no device {name!r}; {did_you_mean(str(name), DEVICES)} Or give the path of one: module:Class")
    kind = import_object(DEVICES.get(name, name), f"device={name}")
    missing = [method for method in METHODS if not callable(getattr(kind, method, None))]
    if missing:
        raise UserError(f"device={name} has no method {missing[0]}(); a device has {', '.join(METHODS)}")
    return kind


def yes_or_no(answer: Any, where: str, allowed: str) -> bool:
    """What a device answered, as a bool; UserError for anything that is none, a number or an array for one."""
    require(isinstance(answer, bool | np.bool_), f"{where} must return {allowed}, it gave {answer!r:.80}")
    return bool(answer)


def _check_takes(call: Any, where: str, args: tuple[str, ...]) -> None:
    """Raise UserError unless it can be called with these arguments; a class may take settings after them."""
    try:
        signature = inspect.signature(call)
        (signature.bind_partial if inspect.isclass(call) else signature.bind)(*args)
    except TypeError as error:
        raise UserError(f"{where}() must take ({', '.join(args)}), it takes {signature}") from error
    except ValueError:  # no signature to read
        return

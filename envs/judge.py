"""Whether what an environment returns is what Gymnasium and its own spaces say, in one line each."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.dotted_path import called_exit
from algos.common.errors import UserError, first_line

RESET, STEP = "(obs, info)", "(obs, reward, terminated, truncated, info)"
NO_ENV = (
    "is a {}, not a gymnasium.Env: derive its class from that, or adapt it (shimmy for Gym's; those of PettingZoo have"
    " several agents, here one learns)"
)
_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def own_name(env: gym.Env) -> str:
    """What an environment is called in messages: its id, or its class where it has none."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def judge_reset(answer: Any, space: spaces.Space[Any], name: str, remarks: list[str]) -> None:
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Mapping)):
        raise UserError(f"{name}: reset() must return {RESET}, info a dict; it returned {_in_words(answer)}")
    _judge_obs(answer[0], space, name, "reset()", remarks)


def judge_step(answer: Any, space: spaces.Space[Any], name: str, remarks: list[str]) -> None:
    if not (isinstance(answer, tuple) and len(answer) == 5):
        old = ", as Gym before 0.26 had it" if isinstance(answer, tuple) and len(answer) == 4 else ""
        raise UserError(f"{name}: step() must return {STEP}; it returned {_in_words(answer)}{old}")
    obs, reward, terminated, truncated, info = answer
    _judge_obs(obs, space, name, "step()", remarks)
    _judge_reward(reward, name)
    for flag, value in (("terminated", terminated), ("truncated", truncated)):
        if isinstance(value, np.ndarray | np.generic) and value.dtype == bool and value.shape == ():
            continue
        if isinstance(value, int | np.integer) and value in (0, 1):
            if not isinstance(value, bool):
                remarks.append(f"{name}: step() returned {flag}={value!r}, a number; return bool({flag})")
            continue
        raise UserError(f"{name}: step() returned {flag}={_in_words(value)}, it must be True or False")
    if not isinstance(info, Mapping):
        raise UserError(f"{name}: step() must return a dict as info; it returned {_in_words(info)}")


def blame_step(error: Exception, answer: Any, space: spaces.Space[Any], name: str) -> None:
    """Raise UserError where the answer to a step is what `error` comes from.

    `answer` is None where a wrapper, which unpacks it first, has failed.
    """
    if answer is not None:
        judge_step(answer, space, name, [])
    elif "unpack" in str(error) and _raised_in(error).startswith("gymnasium.wrappers."):
        raise UserError(f"{name}: step() must return {STEP} each time ({first_line(error)})") from error


def _raised_in(error: Exception) -> str:
    """The module whose code has raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))


def exited(stop: SystemExit, where: str) -> UserError:
    """What to say of an environment that would end the program."""
    return UserError(f"{where} {called_exit(stop)}: have it raise an exception instead, or end the episode")


def _judge_reward(reward: Any, name: str) -> None:
    advice = "return a finite number, as by float(reward)"
    if isinstance(reward, str | bytes) or np.shape(reward) != ():
        raise UserError(f"{name}: step() returned the reward {_in_words(reward)}; {advice}")
    try:
        number = float(reward)
    except (OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{name}: step() returned the reward {_in_words(reward)}; {advice}") from error
    if not np.isfinite(number):
        raise UserError(f"{name}: step() returned the reward {number}; {advice}")


def _judge_obs(obs: Any, space: spaces.Space[Any], name: str, method: str, remarks: list[str]) -> None:
    odd: list[str] = []
    problem = misfit(space, obs, "", odd)
    if problem:
        raise UserError(f"{name}: {method} returned an observation{problem}")
    begin = f"{name}: there is an observation"
    if not any(text.startswith(begin) for text in remarks):  # the next ones say the same of other numbers
        remarks += [begin + text for text in odd]


def misfit(space: spaces.Space[Any], value: Any, key: str, odd: list[str]) -> str:
    """The end of a sentence: what makes a value no member of the space; empty if nothing does. `odd` gets the rest."""
    at = f"{key}: " if key else " "
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping):
            return f"{at}{_in_words(value)}, but its space is a Dict: return a dict with the keys {', '.join(space)}"
        missing = [str(name) for name in space if name not in value]
        if missing:
            return f"{at}without the key {', '.join(missing)} of its space; it has {', '.join(map(str, value))}"
        more = [str(name) for name in value if name not in space.spaces]
        if more:
            odd.append(f"{at}with the key {', '.join(more)}, which its space lacks: that part is not learned from")
        inner = ((part, value[name], f"{key}[{name!r}]") for name, part in space.items())
        return next(filter(None, (misfit(part, one, where, odd) for part, one, where in inner)), "")
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            return f"{at}{_in_words(value)}, but its space is a Tuple of {len(space.spaces)}"
        parts = zip(space.spaces, value, strict=True)
        return next(filter(None, (misfit(part, one, f"{key}[{i}]", odd) for i, (part, one) in enumerate(parts))), "")
    if isinstance(space, _ARRAYS):
        return _misfit_of_array(space, value, at, odd)
    try:
        inside = space.contains(value)
    except NotImplementedError:  # a space of the environment's own that does not say
        inside = True
    return "" if inside else f"{at}{_in_words(value)}, which is not in its space {space}"


def _misfit_of_array(space: Any, value: Any, at: str, odd: list[str]) -> str:
    try:
        array = np.asarray(value)
        cast = array.astype(space.dtype)
    except (TypeError, ValueError, RuntimeError):
        return f"{at}{_in_words(value)}, but its space is {_short(space)}"
    if array.dtype.kind not in "biuf":
        return f"{at}{_in_words(value)}, but its space is {_short(space)}: return an array of numbers"
    if array.shape != space.shape:
        return f"{at}of shape {array.shape}, but its space {_short(space)} has shape {space.shape}"
    if array.dtype.kind == "f" and np.isnan(array).any():
        return f"{at}with NaN at {_where(np.isnan(array))}"
    if np.dtype(space.dtype).kind in "biu" and not np.array_equal(array, cast):
        place = _where(array != cast)
        return (
            f"{at}of {array.dtype} with {array[place] if place else array} at {place}, which its space"
            f" {_short(space)} would turn into {cast[place] if place else cast}: give the space dtype={array.dtype}"
        )
    outside = _outside(space, array)
    if outside.any() and not isinstance(space, spaces.Box):
        return f"{at}{_in_words(value)}, which is not in its space {_short(space)}"
    if outside.any():
        place = _where(outside)
        low, high = space.low[place], space.high[place]
        odd.append(f"{at}with {array[place]} at {place}, outside the bounds {low} to {high} of its space: widen them")
    if isinstance(value, np.ndarray) and array.dtype != space.dtype:
        odd.append(f"{at}of {array.dtype}, but its space is of {space.dtype}: it is converted at every step")
    return ""


def _outside(space: Any, array: np.ndarray) -> np.ndarray:
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high
    elif isinstance(space, spaces.MultiBinary):
        low, high = np.zeros_like(array), np.ones_like(array)
    else:
        low, high = space.start, space.start + (space.n if isinstance(space, spaces.Discrete) else space.nvec) - 1
    with np.errstate(invalid="ignore"):
        slack = 1e-5 * np.maximum(1.0, np.abs(array.astype(np.float64))) if array.dtype.kind == "f" else 0
        return np.asarray((array < low - slack) | (array > high + slack))


def _where(mask: np.ndarray) -> tuple[int, ...]:
    """The first place that a mask marks."""
    return tuple(int(index) for index in np.argwhere(mask)[0])


def empty_part(space: spaces.Space[Any], key: str) -> str:
    """The place of a part without content; empty if there is none."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        pairs = space.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        parts = list(pairs)
        return next(filter(None, (empty_part(part, f"{key}[{name!r}]") for name, part in parts)), "" if parts else key)
    return key if isinstance(space, _ARRAYS) and 0 in (space.shape or ()) else ""


def _short(space: spaces.Space[Any]) -> str:
    text = str(space)
    return text if len(text) <= 80 else f"{type(space).__name__}(shape {space.shape}, {space.dtype})"


def _in_words(value: Any) -> str:
    """A value in a sentence: its kind, and as much of it as fits a line."""
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if value is None or isinstance(value, str | int | float):
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"

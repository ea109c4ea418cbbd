"""A look at an environment before the run: a reset and some random steps, judged against its spaces."""

import copy
import inspect
import os
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from algos.common.errors import UserError, first_line
from envs.drivers import draw_without_display
from envs.frames import as_pixels
from envs.judge import empty_part, judge_reset, judge_step, misfit

MOST_STEPS = 10_000  # of an episode that nothing limits, where only its return is wanted
STEPS, SECONDS = 10, 0.25  # how long it is stepped, whichever ends first


def check_env(env: gym.Env, name: str) -> list[str]:
    """Reset and step an environment that nobody else uses; returns what is odd, a line each.

    The global random streams stay where they are. Raises UserError for what no run could work with. An exception of
    the environment's own is a bug, and keeps its traceback.
    """
    check_spaces(env, name)
    remarks: list[str] = []
    with _streams_kept():
        try:
            _play(env, name, remarks)
        except UserError as error:
            if not str(error).startswith(name):  # told by a layer that does not know what it is called here
                _blame(env, name)
            raise
        except Exception:
            _blame(env, name)
            raise
    if not is_limited(env):
        remarks.append(
            f"{name}: nothing limits an episode's steps; in evaluation, tests and videos one is cut off after"
            f" {MOST_STEPS:,}; general_cfg.max_step=<steps> sets a limit for all"
        )
    return list(dict.fromkeys(remarks))


def is_limited(env: gym.Env) -> bool:
    """Whether an episode ends after some number of steps whatever the agent does, as far as the environment tells.

    One without a time limit tells it by a class attribute, `always_ends = True`, or counts up to a limit of its own in
    one of the usual attributes, as MiniGrid and highway-env do.
    """
    spec, layer = env.spec, env
    if spec is not None and (spec.max_episode_steps is not None or "max_num_frames_per_episode" in spec.kwargs):
        return True
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, gym.wrappers.TimeLimit):
            return True
        layer = layer.env
    if getattr(layer, "always_ends", False) or (spec is not None and spec.name == "Blackjack"):
        return True
    config = getattr(layer, "config", None)
    limits = [getattr(layer, name, None) for name in _OWN_LIMITS]
    limits += [config.get("duration")] if isinstance(config, dict) else []
    return any(isinstance(limit, int | float) and limit > 0 for limit in limits)


_OWN_LIMITS = ("max_steps", "max_episode_steps", "_max_episode_steps", "max_episode_length")


def check_given(env: Any, name: str) -> list[str]:
    """`check_env` for an object of the user's, on a copy: its own episode and random stream stay as they are.

    What cannot be copied, such as a robot, is judged by its spaces; the run's own first reset shows the rest.
    """
    if not isinstance(env, gym.Env | VectorEnv):
        return []  # in the manner of rsl_rl: its adapter knows what it lacks
    if isinstance(env, SyncVectorEnv):
        env = env.envs[0]
    check_spaces(env, name)
    if isinstance(env, AsyncVectorEnv) or not isinstance(env, gym.Env):
        return []
    try:
        twin = copy.deepcopy(env)
    except Exception:  # whatever keeps it from being copied
        return []
    return check_env(twin, name)


def check_frame(env: gym.Env, name: str) -> None:
    """Draw the first frame of an environment made for it; UserError if that is not possible, and why."""
    with _streams_kept():
        try:
            env.reset(seed=0)
            as_pixels(env.render())
        except UserError as error:
            raise UserError(f"environment {name}: {error}") from error
        except Exception as error:
            if "display" in str(error).lower() and draw_without_display():
                check_frame(env, name)
                return
            raise UserError(
                f"environment {name} cannot render with env_cfg.render_mode=rgb_array ({type(error).__name__}:"
                f" {first_line(error)}); leave render_mode out{_gl_hint()}"
            ) from error


def _gl_hint() -> str:
    if "mujoco" not in sys.modules:
        return ""
    used = os.environ.get("MUJOCO_GL")
    return ", or set MUJOCO_GL=egl or osmesa" if used is None else f", or another MUJOCO_GL than {used}"


def check_spaces(env: Any, name: str) -> None:
    """Raise UserError for spaces that are missing, of a foreign kind, or empty."""
    for kind in ("observation", "action"):
        single = getattr(env, f"single_{kind}_space", None)
        space = single if single is not None else getattr(env, f"{kind}_space", None)
        if space is None:
            raise UserError(
                f"{name} has no {kind}_space: set self.{kind}_space in its __init__, as in {_EXAMPLE[kind]}"
            )
        if not isinstance(space, spaces.Space):
            raise UserError(
                f"{name}: {kind}_space is a {type(space).__name__}, not a gymnasium.spaces.Space such as"
                f" {_EXAMPLE[kind]}"
            )
        empty = empty_part(space, f"{kind}_space")
        if empty:
            raise UserError(f"{name}: {empty} holds nothing ({space}): give it at least one number")


_EXAMPLE = {"observation": "spaces.Box(-1, 1, (3,))", "action": "spaces.Discrete(2)"}


def check_first(obs: Any, space: spaces.Space[Any], name: str) -> None:
    """Raise UserError if the first observation of a run, [N, ...], does not fit the vector's space."""
    parts = space.values() if isinstance(space, spaces.Dict) else [space]
    if all(isinstance(part, spaces.Box | spaces.MultiDiscrete) for part in parts):  # a batch of others has another form
        problem = misfit(space, obs, "", [])
        if problem:
            raise UserError(f"{name}: reset() returned an observation{problem}")


def _play(env: gym.Env, name: str, remarks: list[str]) -> None:
    actions = copy.deepcopy(env.action_space)
    actions.seed(0)
    answer = env.reset(seed=0)
    judge_reset(answer, env.observation_space, name, remarks)
    start, (obs, info) = perf_counter(), answer
    for _ in range(STEPS):
        step = env.step(_sample(actions, obs, info, name))
        judge_step(step, env.observation_space, name, remarks)
        obs, _, terminated, truncated, info = step
        if perf_counter() - start > SECONDS:
            return
        if terminated or truncated:
            obs, info = answer = env.reset()
            judge_reset(answer, env.observation_space, name, remarks)


def _sample(space: spaces.Space[Any], obs: Any, info: Mapping[str, Any], name: str) -> Any:
    """A random action that the mask, where there is one, allows."""
    mask = obs.get("action_mask") if isinstance(obs, dict) else None
    mask = info.get("action_mask") if mask is None else mask
    if mask is not None and isinstance(space, spaces.Discrete):
        if np.shape(mask) != (space.n,):
            raise UserError(f"{name}: its action_mask has shape {np.shape(mask)}, but there are {space.n} actions")
        return space.sample(np.asarray(mask, np.int8))
    if mask is not None and isinstance(space, spaces.MultiDiscrete):
        parts = mask if isinstance(mask, tuple | list) else np.split(np.asarray(mask), np.cumsum(space.nvec)[:-1])
        return space.sample(tuple(np.asarray(part, np.int8) for part in parts))
    return space.sample()


def _blame(env: gym.Env, name: str) -> None:
    """Raise UserError if the innermost layer that cannot be stepped answers in another form than Gymnasium's."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    for layer in reversed(layers):
        where = name if layer is layers[-1] else f"{name}, wrapper {type(layer).__name__}"
        _check_signature(layer, where)
        with suppress(SystemExit):  # which the outermost layer has told
            judge_reset(layer.reset(seed=0), layer.observation_space, where, [])
            judge_step(layer.step(copy.deepcopy(layer.action_space).sample()), layer.observation_space, where, [])


def _check_signature(env: gym.Env, name: str) -> None:
    try:
        inspect.signature(env.reset).bind(seed=0, options=None)
    except TypeError as error:
        raise UserError(
            f"{name}: reset does not take seed and options ({first_line(error)}); write it as"
            " def reset(self, *, seed=None, options=None)"
        ) from error
    except ValueError:  # no signature to read
        return


@contextmanager
def _streams_kept() -> Iterator[None]:
    """What environments draw from beside their own stream goes on as if nobody had looked."""
    own, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numpy)

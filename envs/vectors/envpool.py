"""EnvPool's vectors (C++ threads) with same-step reset; imported only for `env_cfg.vectorization=envpool`."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from algos.common.errors import UserError, did_you_mean, first_line, nearest
from algos.common.trees import Tree, tree_leaves
from envs.config import EnvConfig
from envs.vectors.rows import ended

ENDLESS = np.iinfo(np.int32).max  # EnvPool's limit of an environment that has none
_OURS = {"num_envs", "batch_size", "max_num_players", "seed", "env_seed", "gym_reset_return_info", "base_path"}
_THREADS = ("num_threads", "thread_affinity_offset")
_AS_GYMNASIUM = ("envpool.classic_control", "envpool.box2d", "envpool.mujoco.gym", "envpool.toy_text")
_ATARI = {"repeat_action_probability": 0.25, "use_fire_reset": False}  # as the ids ALE/*-v5 have it


class EnvPoolVector(VectorEnv):
    """EnvPool resets a row in the step after its episode's last; here rows that ended are reset at once, alone.

    Time limits are counted here: EnvPool calls an episode that terminates in the last step of its limit truncated
    only. Seeds belong to the pool's making, so that a reset with a seed makes a new one. Its state cannot be read.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, cfg: EnvConfig, n_envs: int, max_step: int = -1) -> None:
        self._package, self._id = _import(), cfg.id.removeprefix("ALE/")
        ids = self._package.list_all_envs()
        if self._id not in ids:
            raise UserError(f"env_cfg.vectorization=envpool: {_unknown(cfg.id, self._id, ids)}")
        family = self._package.registration.registry.specs[self._id][0]
        if family == "envpool.atari" and cfg.id == self._id:
            raise UserError(f"env_cfg.id={cfg.id}: Gymnasium, whose environments evaluate, calls it ALE/{cfg.id}")
        kwargs = (_ATARI if family == "envpool.atari" else {}) | cfg.kwargs
        if kwargs.get("max_episode_steps") == -1:
            kwargs["max_episode_steps"] = ENDLESS
        spec = self._spec(kwargs)
        own = spec.config.max_episode_steps
        self.limit = min(own, max_step) if max_step > 0 else own
        if family == "envpool.atari":  # with episodic_life a game goes on over resets until the pool's limit
            own = self.limit
        elif family in _AS_GYMNASIUM:  # in others the limit is part of the game, such as MiniGrid's rewards
            own = min(own, ENDLESS - 1) + 1
        self._kwargs = kwargs | {"max_episode_steps": own}
        self._pool: Any = None
        with _quiet():
            obs_space, action_space = _mended(spec.observation_space), _mended(spec.action_space)
        if spec.config.max_num_players > 1 or not isinstance(action_space, spaces.Box | spaces.Discrete):
            raise UserError(f"env_cfg.vectorization=envpool: {cfg.id} is not for one player with one kind of action")
        self.num_envs = n_envs
        self.single_observation_space, self.observation_space = obs_space, batch_space(obs_space, n_envs)
        self.single_action_space, self.action_space = action_space, batch_space(action_space, n_envs)

    def _spec(self, kwargs: dict[str, Any]) -> Any:
        """What is known of an environment with these arguments; UserError for those that it does not have."""
        try:
            known = set(self._package.make_spec(self._id).config._fields) - _OURS
            for name in sorted(kwargs.keys() - known):
                raise UserError(
                    f"env_cfg.kwargs.{name}: EnvPool's {self._id} does not accept it; {did_you_mean(name, known)}"
                )
            return self._package.make_spec(self._id, **kwargs)
        except TypeError as error:
            raise UserError(f"env_cfg.kwargs: EnvPool's {self._id} wants other types than in {kwargs}") from error
        except (ImportError, ValueError) as error:
            raise UserError(f"env_cfg.vectorization=envpool: {self._id}: {first_line(error)}") from error

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Tree, dict[str, Any]]:
        """Start all episodes; with a seed (or one for each row) in a new pool."""
        if seed is None and self._pool is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if seed is not None:
            seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int | np.integer) else list(seed)
            self._kwargs["seed"] = [int(one) % 2**31 for one in seeds]
            self._pool = self._package.make_gymnasium(self._id, num_envs=self.num_envs, **self._kwargs)
        with _quiet():
            return _typed(self.single_observation_space, self._pool.reset()[0]), {}

    def step(self, actions: Any) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; a row that ends is reset and its last observation goes to `infos`."""
        actions = np.asarray(actions)
        if actions.shape != self.action_space.shape:  # EnvPool would end the process
            raise ValueError(f"expected actions of shape {self.action_space.shape}, got {actions.shape}")
        obs, reward, terminated, truncated, told = self._pool.step(actions)
        obs, infos = _typed(self.single_observation_space, obs), {}
        truncated = truncated | (told["elapsed_step"] >= self.limit)
        done = terminated | truncated
        if np.count_nonzero(done):
            rows = np.flatnonzero(done).astype(np.int32)
            infos = ended(obs, done)
            fresh = _typed(self.single_observation_space, self._pool.reset(rows)[0])
            for column, new in zip(tree_leaves(obs), tree_leaves(fresh), strict=True):
                column[rows] = new
        return obs, reward.astype(np.float64), terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the pool's threads."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def make_envpool(cfg: EnvConfig, n_envs: int, max_step: int, render_mode: str | None) -> EnvPoolVector:
    """The vector of `env_cfg.id`; raises UserError for what EnvPool does not have."""
    given = (cfg.wrappers, cfg.memory_inputs != ["obs"], cfg.entry_point is not None)
    for key, is_given in zip(("wrappers", "memory_inputs", "entry_point"), given, strict=True):
        if is_given:
            raise UserError(f"env_cfg.{key} applies to single environments; leave out env_cfg.vectorization=envpool")
    if render_mode is not None:
        raise UserError("env_cfg.vectorization=envpool shows nothing: use sync for env_cfg.render_mode=human")
    return EnvPoolVector(cfg, n_envs, max_step)


def as_single(cfg: EnvConfig) -> EnvConfig:
    """The config of the same environment in Gymnasium; that of Atari gets EnvPool's preprocessing as wrappers.

    As in the usual evaluation, rewards are not clipped there and an episode is a whole game.
    """
    if not cfg.id.startswith("ALE/"):
        return replace(cfg, kwargs={name: value for name, value in cfg.kwargs.items() if name not in _THREADS})
    kwargs = _ATARI | cfg.kwargs
    own = {name: kwargs[name] for name in ("mode", "difficulty", "full_action_space") if name in kwargs}
    own |= {"frameskip": 1, "repeat_action_probability": kwargs["repeat_action_probability"]}
    seen = {"noop_max": kwargs.get("noop_max", 30), "frame_skip": kwargs.get("frame_skip", 4)}
    seen |= {"screen_size": kwargs.get("img_height", 84), "grayscale_obs": kwargs.get("gray_scale", True)}
    stack = {"type": "FrameStackObservation", "stack_size": kwargs.get("stack_num", 4)}
    return replace(cfg, kwargs=own, wrappers=[{"type": "AtariPreprocessing", **seen}, stack])


def check_alike(env: gym.Env, obs_space: spaces.Space, action_space: spaces.Space) -> None:
    """Raise UserError if Gymnasium's environment cannot evaluate what learns in EnvPool's."""
    for here, there in ((obs_space, env.observation_space), (action_space, env.action_space)):
        same = type(here) is type(there) and here.shape == there.shape
        if not same or spaces.flatdim(here) != spaces.flatdim(there):
            env.close()
            raise UserError(f"its space is {there}, where EnvPool has {here}")


def _import() -> Any:
    try:
        import envpool
    except ImportError as error:
        version = "" if sys.version_info >= (3, 11) else "Python 3.11 or newer and "
        command = 'pip install -e ".[envpool]"'
        raise UserError(f"env_cfg.vectorization=envpool needs {version}an extra: {command}") from error
    return envpool


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Gymnasium's warnings of the precision of EnvPool's bounds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered")
        yield


def _unknown(env_id: str, name: str, ids: list[str]) -> str:
    base = re.sub(r"-v\d+$", "", name)
    versions = sorted(other for other in ids if re.sub(r"-v\d+$", "", other) == base)
    if versions:
        return f"EnvPool has no {env_id!r}, but {', '.join(versions)}"
    near = nearest(name, ids)
    return f"EnvPool has no {env_id!r}; " + (f"did you mean {near!r}?" if near else "use sync or async")


def _mended(space: Any) -> Any:
    """A space with Gymnasium's types: EnvPool writes missing bounds as the smallest positive and largest number."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _mended(part) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        tiny, most = np.finfo(space.dtype).tiny, np.finfo(space.dtype).max
        low = np.where((space.low == tiny) | (space.low == -most), -np.inf, space.low)
        return spaces.Box(low, np.where(space.high == most, np.inf, space.high), space.shape, space.dtype.type)
    return space


def _typed(space: Any, obs: Tree) -> Tree:
    """Observations in the type of their space, which differs from EnvPool's for Discrete ones."""
    if isinstance(space, spaces.Dict):
        return {key: _typed(part, obs[key]) for key, part in space.spaces.items()}
    return obs.astype(space.dtype, copy=False)

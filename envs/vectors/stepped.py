"""Vector environments with same-step reset that step single ones: in this process, or each in one of its own.

Both give the true last observation of an episode in `infos["final_obs"]` (an object array by row) with the mask
`infos["_final_obs"]`, and never write into an array that they have handed out.
"""

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from algos.common.errors import UserError
from envs.judge import judge_step, misfit, own_name
from envs.vectors.rows import has_text, with_text_arrays

_ARRAY_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class SyncVector(SyncVectorEnv):
    """Steps its environments in turn, at half the overhead of Gymnasium's for array spaces."""

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]]) -> None:
        super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        self._array_actions = isinstance(self.single_action_space, _ARRAY_SPACES)
        self._array_obs = isinstance(self.single_observation_space, _ARRAY_SPACES)
        self._text_obs = has_text(self.single_observation_space)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Gymnasium's; an observation of another shape than its space's is told."""
        try:
            obs, infos = super().reset(seed=seed, options=options)
            return self._arrays(obs), infos
        except ValueError:
            self._blame_obs()
            raise

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; a row that ends is reset and its last observation goes to `infos`."""
        rewards = np.empty(self.num_envs)
        terminations, truncations = np.empty(self.num_envs, np.bool_), np.empty(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        rows = actions if self._array_actions else iterate(self.action_space, actions)
        for row, (env, action) in enumerate(zip(self.envs, rows, strict=True)):
            answer = None
            try:
                answer = env.step(action)
                obs, rewards[row], terminated, truncated, info = answer
                terminations[row], truncations[row] = terminated, truncated
                if terminated or truncated:
                    infos = self._add_info(infos, {"final_obs": obs, "final_info": info}, row)
                    obs, info = env.reset()
            except Exception as error:
                error.env_row = row  # type: ignore[attr-defined]  # whoever steps the vector tells it
                if answer is not None:
                    self._blame(answer, row)
                raise
            if info:
                infos = self._add_info(infos, info, row)
            self._env_obs[row] = obs
        return self._batch(), rewards, terminations, truncations, infos

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        return super()._add_info(vector_infos, with_floats(env_info), env_num)

    def _batch(self) -> Any:
        space = self.single_observation_space
        try:
            if not self._array_obs:
                out: Any = create_empty_array(space, self.num_envs)
                return self._arrays(concatenate(space, self._env_obs, out))
            batch = np.array(self._env_obs, dtype=space.dtype)
            if batch.shape[1:] == space.shape:
                return batch
        except (LookupError, TypeError, ValueError):
            self._blame_obs()
            raise
        self._blame_obs()
        return batch

    def _arrays(self, batch: Any) -> Any:
        return with_text_arrays(self.single_observation_space, batch) if self._text_obs else batch

    def _blame(self, answer: Any, row: int) -> None:
        """Raise UserError where a step's answer has another form than Gymnasium's and the spaces'."""
        try:
            judge_step(answer, self.single_observation_space, own_name(self.envs[row]), [])
        except UserError as error:
            error.env_row = row  # type: ignore[attr-defined]
            raise

    def _blame_obs(self) -> None:
        """Raise UserError for the first observation that does not fit the space."""
        for row, (env, obs) in enumerate(zip(self.envs, self._env_obs, strict=True)):
            problem = misfit(self.single_observation_space, obs, "", [])
            if problem:
                error = UserError(f"{own_name(env)} returned an observation{problem}")
                error.env_row = row  # type: ignore[attr-defined]
                raise error


def with_floats(info: dict[str, Any]) -> dict[str, Any]:
    """An info whose reward components, metrics and last words of an episode are floats: the first of a step gives all
    rows their type."""
    for key in ("reward_components", "log", "final_info"):
        if isinstance(info.get(key), dict):
            info = info | {key: _as_floats(info[key])}
    return info


def _as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_floats(item) for key, item in value.items()}
    return float(value) if isinstance(value, bool | int | np.integer | np.bool_ | np.float32) else value


class AsyncVector(AsyncVectorEnv):
    """Steps each environment in a process of its own; an error there is raised here, with its traceback."""

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]], context: str | None = None) -> None:
        try:
            super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP, context=context)
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        except ValueError as error:
            if "shared_memory" not in str(error):
                raise
            raise UserError(
                "env_cfg.vectorization=async: observations of other kinds than arrays do not pass; use sync"
            ) from error
        # An environment with a window may not heed the signal by which Python ends its children at exit.
        weakref.finalize(self, _kill, os.getpid(), self.processes)

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        return super()._add_info(vector_infos, with_floats(env_info), env_num)

    def reset_wait(self, timeout: float | None = None) -> tuple[Any, dict[str, Any]]:
        """Gymnasium's, telling which process died if one did."""
        try:
            return super().reset_wait(timeout)
        except (EOFError, ConnectionError) as error:
            raise self._death() from error

    def step_wait(self, timeout: float | None = None) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Gymnasium's, telling which process died if one did."""
        try:
            return super().step_wait(timeout)
        except (EOFError, ConnectionError) as error:
            raise self._death() from error

    def close_extras(self, timeout: float | None = 5.0, terminate: bool = False) -> None:
        """Close the environments; a process that does not end within `timeout` seconds is killed."""
        for pipe in [] if terminate else self.parent_pipes:
            with contextlib.suppress(AttributeError, OSError):  # the pipe of a process that failed
                pipe.send(("close", None))
        for process in self.processes:
            process.join(0.0 if terminate else timeout)
        _kill(os.getpid(), self.processes)
        for pipe in self.parent_pipes:
            if pipe is not None:
                pipe.close()

    def _death(self) -> RuntimeError:
        ready = wait([process.sentinel for process in self.processes], timeout=1.0)
        for process in self.processes:
            process.join(1.0 if process.sentinel in ready else 0.0)  # its exit code comes a moment later
        dead = {row: process.exitcode for row, process in enumerate(self.processes) if not process.is_alive()}
        self.close(terminate=True)
        return RuntimeError(f"the process of environment {dead} (row: exit code) died; its own message is above")

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        # Gymnasium makes a new exception out of the old one's text and logs the traceback, which breaks at a "%".
        failures = [self._failure(row) for row, success in enumerate(successes) if not success]
        if failures:
            row, _, error, trace = min(failures, key=lambda failure: failure[0])
            self.close()
            error.env_row = row  # type: ignore[attr-defined]
            raise error from RuntimeError(f"in the process of environment {row}:\n{trace}")

    def _failure(self, row: int) -> tuple[int, type, BaseException, str]:
        try:
            return self.error_queue.get(timeout=10.0)
        except Exception as error:  # an exception that cannot be pickled, or not be made again here
            return row, RuntimeError, RuntimeError(f"environment {row} failed with an error of its own"), repr(error)


def _kill(owner: int, processes: list[Any]) -> None:
    if os.getpid() != owner:  # a forked child holds a copy of this object
        return
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()

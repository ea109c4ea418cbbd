"""Adapter for environments in the style of rsl_rl: many rows, tensors on any device, reset within `step`."""

import inspect
import logging
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from algos.common.errors import UserError

log = logging.getLogger("joyride")


def is_rsl(env: Any) -> bool:
    """Whether an object looks like such an environment."""
    return all(hasattr(env, name) for name in ("step", "get_observations", "num_envs"))


class RslVector(VectorEnv):
    """`step(actions) -> obs, reward, done, extras` behind Gymnasium's vector interface, in NumPy arrays.

    Spaces are the environment's own, else boxes without bounds of the first observations and `num_actions`. `done`
    is a truncation where `extras["time_outs"]` says so. The observation that an episode ended with is
    `extras["final_obs"]`; if there is none, the one before it stands in: time-outs then bootstrap V(s_t), which is
    said once. All other extras are infos.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, env: Any):
        self.env, self.num_envs, self.spec = env, int(env.num_envs), None
        self.obs = self._observe(env.get_observations())
        self.single_observation_space = self._space_of("observation", _box_of(self.obs))
        self.single_action_space = self._space_of("action", None)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.device = getattr(env, "device", "cpu")
        self.told: set[str] = set()
        if hasattr(env, "snapshot") and hasattr(env, "restore"):
            self.snapshot, self.restore = env.snapshot, env.restore

    def _space_of(self, name: str, default: Any) -> Any:
        """The space of one environment."""
        single = getattr(self.env, f"single_{name}_space", None) or getattr(self.env, f"{name}_space", None)
        if isinstance(single, spaces.Space):
            return single
        if default is None:
            if not hasattr(self.env, "num_actions"):
                raise UserError(f"{type(self.env).__name__} has neither an action_space nor num_actions")
            default = spaces.Box(-np.inf, np.inf, (int(self.env.num_actions),), np.float32)
        return default

    def _observe(self, answer: Any) -> Any:
        """Observations [N, ...], of an answer that may have extras beside them."""
        return to_arrays(answer[0] if isinstance(answer, tuple) else answer)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Start all episodes, by the environment's own `reset` where it has one; it gets the first of the seeds."""
        reset, answer = getattr(self.env, "reset", None), None
        if reset is not None:
            first = seed[0] if isinstance(seed, list | tuple) else seed
            seeded = first is not None and "seed" in inspect.signature(reset).parameters
            answer = reset(seed=first) if seeded else reset()
        self.obs = self._observe(self.env.get_observations() if answer is None else answer)
        return self.obs, {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments."""
        before = self.obs
        answer = self.env.step(torch.as_tensor(actions, device=self.device))
        if len(answer) != 4:
            raise UserError(
                f"{type(self.env).__name__}.step returned {len(answer)} values instead of obs, reward, done, extras"
            )
        obs, reward, done, extras = answer
        done = to_arrays(done).astype(bool).reshape(self.num_envs)
        self.obs = self._observe(obs)
        infos = {name: to_arrays(value) for name, value in extras.items()}
        time_outs = infos.pop("time_outs", None)
        truncated = np.zeros_like(done) if time_outs is None else done & time_outs.astype(bool).reshape(done.shape)
        if done.any():
            if time_outs is None:
                self._tell("time_outs", "extras has no time_outs: every end of an episode counts as termination")
            if "final_obs" not in infos:
                infos["final_obs"] = before
                if truncated.any():
                    self._tell(
                        "final_obs", "extras has no final_obs: time-outs bootstrap from the last observation before"
                    )
            infos["_final_obs"] = done
        return self.obs, to_arrays(reward).astype(np.float64).reshape(done.shape), done & ~truncated, truncated, infos

    def _tell(self, what: str, text: str) -> None:
        if what not in self.told:
            self.told.add(what)
            log.warning("%s: %s", type(self.env).__name__, text)

    def close(self, **kwargs: Any) -> None:
        """Close the environment, if it can be."""
        if hasattr(self.env, "close"):
            self.env.close()


def to_arrays(value: Any) -> Any:
    """Tensors as arrays of their own, which the environment does not write to; mappings by key; the rest as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if hasattr(value, "keys") and hasattr(value, "items"):
        return {str(key): to_arrays(item) for key, item in value.items()}
    return value


def _box_of(obs: Any) -> spaces.Space[Any]:
    if isinstance(obs, dict):
        return spaces.Dict({key: _box_of(value) for key, value in obs.items()})
    return spaces.Box(-np.inf, np.inf, obs.shape[1:], obs.dtype)

"""Environment wrappers: found by name, applied with readable errors; and those that Gymnasium lacks."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.dotted_path import check_kwargs, import_object
from algos.common.errors import UserError, did_you_mean
from envs.arguments import as_annotated
from envs.intervention.wrapper import Intervention

# Entries of the observation that are no velocities, by the environment's name without its version.
_WITHOUT_VELOCITY = {
    "CartPole": (0, 2),  # x, angle
    "Pendulum": (0, 1),  # cos, sin
    "MountainCar": (0,),
    "MountainCarContinuous": (0,),
    "Acrobot": (0, 1, 2, 3),  # cos and sin of both joints
    "LunarLander": (0, 1, 4, 6, 7),  # x, y, angle, leg contacts
    "LunarLanderContinuous": (0, 1, 4, 6, 7),
}


class MaskVelocity(gym.ObservationWrapper):
    """Hides the velocities of a flat observation, so that the task needs memory: [D] -> [len(keep)].

    `keep` lists the indices to keep; without it, those of Gymnasium's classic tasks and LunarLander are known.
    Raises UserError for another environment, and for indices that do not fit.
    """

    def __init__(self, env: gym.Env, keep: Sequence[int] | None = None) -> None:
        super().__init__(env)
        space, name = env.observation_space, env.spec.name if env.spec is not None else type(env.unwrapped).__name__
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise UserError(f"MaskVelocity needs a flat Box observation, {name} has {space}")
        if keep is None and (name not in _WITHOUT_VELOCITY or space != env.unwrapped.observation_space):
            raise UserError(
                f"MaskVelocity does not know which entries are velocities in the observation of {name}: list the"
                " entries to keep in 'keep'"
            )
        indices = list(_WITHOUT_VELOCITY[name] if keep is None else keep)
        whole = all(isinstance(index, int) and 0 <= index < space.shape[0] for index in indices)
        if not indices or not whole or len(set(indices)) != len(indices):
            raise UserError(f"MaskVelocity: keep={indices} must be distinct indices from 0 to {space.shape[0] - 1}")
        self._keep = np.array(indices)
        self.observation_space = spaces.Box(space.low[self._keep], space.high[self._keep], dtype=space.dtype.type)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The kept entries, as a new array."""
        return observation[self._keep]


class ActionMask(gym.Wrapper):
    """Moves info["action_mask"] into the observation, where a policy that can mask finds it.

    The observation becomes a Dict {"observation", "action_mask"}; one that is a Dict gets the key added. The mask is 1
    where an action is allowed: [n] for Discrete actions, [sum nvec] for MultiDiscrete, in one array or one for each
    choice. Raises UserError for other actions, and for an environment that gives no such mask.
    """

    keeps_rewards = True

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        actions, observed = env.action_space, env.observation_space
        if not isinstance(actions, spaces.Discrete | spaces.MultiDiscrete):
            raise UserError(f"ActionMask needs Discrete or MultiDiscrete actions, not {type(actions).__name__}")
        self._size = int(actions.n if isinstance(actions, spaces.Discrete) else actions.nvec.sum())
        self._is_dict = isinstance(observed, spaces.Dict)
        parts = observed.spaces if isinstance(observed, spaces.Dict) else {"observation": observed}
        self.observation_space = spaces.Dict({**parts, "action_mask": spaces.MultiBinary(self._size)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first observation, with its mask."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(obs, info, False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; where an episode has ended and no mask is given, all is allowed."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(obs, info, terminated), reward, terminated, truncated, info

    def _with_mask(self, obs: Any, info: Mapping[str, Any], terminated: bool) -> dict[str, Any]:
        if "action_mask" not in info and not terminated:
            raise UserError(f"ActionMask: {self.env.unwrapped} returns no info['action_mask']")
        given = info.get("action_mask", np.ones(self._size))
        mask = np.concatenate([np.ravel(part) for part in given]) if isinstance(given, tuple | list) else given
        mask = np.array(mask, np.int8)
        if mask.shape != (self._size,):
            raise UserError(f"ActionMask: info['action_mask'] has shape {mask.shape}, it must be ({self._size},)")
        return {**(obs if self._is_dict else {"observation": obs}), "action_mask": mask}


class SkipFrame(gym.Wrapper):
    """Repeats each action for `skip` frames and adds up their rewards; the episode's end cuts the repetition short.

    Observation, flags and info are those of the last frame. The parts of the reward in the info (its keys that begin
    with "reward", each a number or a mapping of numbers) are added up, too. A film has a frame for each action of the
    agent's, at the speed of the environment. Raises UserError for a `skip` that is no whole number of at least 1.
    """

    keeps_rewards = True  # their sum

    def __init__(self, env: gym.Env, skip: int) -> None:
        super().__init__(env)
        if isinstance(skip, bool) or not isinstance(skip, int) or skip < 1:
            raise UserError(f"SkipFrame: skip={skip} must be a whole number of at least 1")
        self._skip = skip
        fps = (env.metadata or {}).get("render_fps")
        if fps:
            self.metadata = {**env.metadata, "render_fps": fps / skip}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Up to `skip` frames with one action."""
        total = 0.0
        parts: dict[str, Any] = {}
        for _ in range(self._skip):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            for key in info:
                if str(key).startswith("reward"):
                    parts[key] = _plus(parts.get(key), info[key])
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, {**info, **parts}


def _plus(before: Any, value: Any) -> Any:
    """The sum `before` (None: of nothing) plus a number or, key by key, a mapping; anything else as it came last."""
    if isinstance(value, Mapping):
        known = before or {}
        return {**known, **{key: _plus(known.get(key), part) for key, part in value.items()}}
    is_number = isinstance(value, int | float | np.number | np.ndarray)
    return (0 if before is None else before) + value if is_number else value


_OWN = {kind.__name__: kind for kind in (MaskVelocity, ActionMask, SkipFrame, Intervention)}


def wrap(env: gym.Env, item: str | Mapping[str, Any], key: str) -> gym.Env:
    """Apply one entry of `env_cfg.wrappers`; `key` is its place in the config, for messages.

    Raises UserError for an unknown name, and for keyword arguments that do not fit.
    """
    name, kwargs = (
        (item, {})
        if isinstance(item, str)
        else (item["type"], {key: value for key, value in item.items() if key not in ("type", "train_only")})
    )
    kind = find_wrapper(name, key)
    check_kwargs(kind, kwargs, f"{key} ({name})", given=1)
    try:
        wrapped = kind(env, **as_annotated(kind, kwargs))
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    except Exception as error:
        # Gymnasium checks the values itself; in anyone else's wrapper an exception may be a bug, with its traceback.
        if not kind.__module__.startswith("gymnasium."):
            raise
        install = ': pip install -e ".[atari]"' if "opencv" in str(error) or "cv2" in str(error) else ""
        raise UserError(f"{key} ({name}): {(str(error).splitlines() or [repr(error)])[0]}{install}") from error
    if not isinstance(wrapped, gym.Env):
        raise UserError(f"{key} ({name}) made a {type(wrapped).__name__}, not a gymnasium.Env")
    return wrapped


def needs_frames(item: str | Mapping[str, Any], key: str) -> bool:
    """Whether an entry of `env_cfg.wrappers` makes observations of frames: its environment is made to render them.

    Beside AddRenderObservation those are classes with `needs_frames = True`.
    """
    kind = wrapper_of(item, key)
    frames = isinstance(kind, type) and issubclass(kind, gym.wrappers.AddRenderObservation)
    return frames or bool(getattr(kind, "needs_frames", False))


def wrapper_of(item: str | Mapping[str, Any], key: str) -> Any:
    """The class of an entry of `env_cfg.wrappers`; `key` is its place in the config, for messages."""
    return find_wrapper(item if isinstance(item, str) else item["type"], key)


def find_wrapper(name: str, key: str) -> Any:
    """A wrapper's class: of `gymnasium.wrappers` or this module by its name, any other by its path."""
    if name in _OWN:
        return _OWN[name]
    if "." in name or ":" in name:
        kind = import_object(name, f"{key}={name}")
        if not (isinstance(kind, type) and issubclass(kind, gym.Env)):
            raise UserError(f"{key}: {name} is not a subclass of gymnasium.Wrapper")
        return kind
    known = [entry for entry in gym.wrappers.__all__ if entry != "vector"]
    if name not in known:
        raise UserError(f"{key}: no wrapper {name!r} in gymnasium.wrappers; {did_you_mean(name, [*known, *_OWN])}")
    return getattr(gym.wrappers, name)

"""`SACHybridAgent`: HybridSAC stepped by hand, for cameras and a gripper.

agent = SACHybridAgent(image_keys=["image"], continuous_action_dim=6, grasp_action_dim=3)
agent.load(torch.load("models/10000.pt"))
action = agent.select_action({"image": image}, training=False)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError, did_you_mean
from algos.common.settings import require
from framework.agents import Agent, SpacesOnly, composed, model_given
from framework.stepping import AgentError

MODES = {0: "fixed", 3: "learned", 9: "learned"}  # grasp actions -> the gripper of the setup mode
STATE = "state"


class SACHybridAgent(Agent):
    """HybridSAC for observations {camera: image [H, W, C]} of bytes, perhaps with further arrays of numbers.

    Actions are those of `HybridSAC`: for each hand its motion numbers in [-1, 1], then its gripper's command.
    """

    def __init__(
        self,
        image_keys: Sequence[str] = ("image",),
        continuous_action_dim: int = 6,
        grasp_action_dim: int | None = 3,
        device: str = "auto",
        image_shape: Sequence[int] | None = None,
        state_dim: int = 0,
        **settings: Any,
    ):
        """`continuous_action_dim` counts the motion numbers of all hands; `grasp_action_dim` the grasp actions: 3 of
        one hand, 9 of two, 0 of grippers that are not learned.

        Shapes are those of the first observation, unless `image_shape` (height, width, channels; all cameras alike) and
        `state_dim` (numbers in `state`, 0: none) are given; until then nothing but `load` and the settings is checked.
        `settings` are keys of the config as for `make_agent`. Raises UserError for what cannot work.
        """
        grasps = grasp_action_dim or 0
        _check_keys(image_keys)
        for name, value, least in (("continuous_action_dim", continuous_action_dim, 1), ("state_dim", state_dim, 0)):
            require(_is_count(value, least), f"{name}={value!r:.80} must be a whole number of at least {least}")
        require(image_shape is not None or not state_dim, f"state_dim={state_dim} needs image_shape, too")
        if not isinstance(grasps, int) or grasps not in MODES:
            raise UserError(
                f"grasp_action_dim={grasps} must be 3 (one hand), 9 (two), or 0 for a gripper that is fixed"
            )
        arms = "dual" if grasps == 9 else "single"
        self._cameras = list(image_keys)
        numbers = continuous_action_dim + (2 if grasps == 9 else 1 if grasps else 0)
        self._box = spaces.Box(-1.0, 1.0, (numbers,), np.float32)
        chosen = {"setup_mode": f"{arms}-arm-{MODES[grasps]}-gripper", "device": device, **settings}
        self._cfg = composed("HybridSAC", "hybrid-by-hand-v0", chosen)
        self._waiting: Any = None  # a model to load
        self._built = False
        if image_shape is not None:
            parts: dict[str, spaces.Space[Any]] = {key: _image(image_shape) for key in self._cameras}
            self._build(parts | ({STATE: _numbers((state_dim,))} if state_dim else {}))

    def _build(self, parts: Mapping[str, spaces.Space[Any]]) -> None:
        self._built = True  # before: what is built looks at its own attributes
        self._parts = set(parts)
        try:
            super().__init__(self._cfg, SpacesOnly(spaces.Dict({**parts}), self._box))
            if self._waiting is not None:
                self._start(*self._waiting)
        except UserError:
            self._built = False  # it must not act without the model that does not fit
            raise
        self._waiting = None

    def _row_of(self, obs: Any) -> Any:
        if not self._built:
            self._build(self._parts_of(obs))
        elif isinstance(obs, Mapping) and STATE in obs and STATE not in self._parts:
            size = np.size(obs[STATE])
            raise UserError(f"the observation has a {STATE!r} that the agent was built without; give state_dim={size}")
        return super()._row_of(obs)

    def _parts_of(self, obs: Any) -> dict[str, spaces.Space[Any]]:
        """The spaces of a first observation."""
        if not isinstance(obs, Mapping):
            raise AgentError(f"expected an observation with the keys {self._cameras}, got a {type(obs).__name__}")
        for key in self._cameras:
            if key not in obs:
                raise AgentError(f"the observation has no camera {key!r} ({did_you_mean(key, list(obs))})")
        arrays = {key: np.asarray(value) for key, value in obs.items()}
        return {
            key: _image(array.shape) if key in self._cameras else _numbers(array.shape)
            for key, array in sorted(arrays.items())
        }

    def select_action(self, obs: Any, training: bool | None = None) -> Any:
        """As of every agent: the action [A] for one observation, float32 in [-1, 1]."""
        self._row_of(obs)
        return super().select_action(obs, training)

    def store_transition(
        self, state: Any, action: Any, reward: float, next_state: Any, done: bool, truncated: bool | None = None
    ) -> None:
        """As of every agent: a step of the environment, also with an action of somebody else."""
        self._row_of(state)
        super().store_transition(state, action, reward, next_state, done, truncated)

    def load(self, path: "str | Path | Mapping[str, Any]") -> None:
        """As of every agent; before the first observation the model is read, and taken over with it."""
        saved = model_given(path)
        if self._built:
            return self._start(*saved)
        self._waiting = saved

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.__dict__.get("_built", True):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AgentError(
            f"{name}: the agent is built at its first observation; give image_shape=(height, width, channels) to"
            " have it at once"
        )

    def __repr__(self) -> str:
        if self._built:
            return super().__repr__()
        return f"<{type(self).__name__} of {self._cameras}, before its first observation>"


def _check_keys(image_keys: Any) -> None:
    """Raise UserError for what is no list of keys, or names one twice."""
    keys = image_keys if isinstance(image_keys, Sequence) and not isinstance(image_keys, str) else []
    named = bool(keys) and all(isinstance(key, str) for key in keys)
    require(named, f'image_keys={image_keys!r} must be a list of the cameras\' keys, such as ["image"]')
    require(len(set(keys)) == len(keys), f"image_keys={image_keys!r} names a camera twice; name each once")


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def _image(shape: Any) -> spaces.Box:
    """A camera's images; UserError where the shape is none of an image."""
    known = isinstance(shape, Sequence | np.ndarray) and len(shape) == 3 and all(_is_count(side, 1) for side in shape)
    require(known, f"image_shape={shape!r:.80} must be (height, width, channels), whole numbers")
    return spaces.Box(0, 255, tuple(int(side) for side in shape), np.uint8)


def _numbers(shape: Sequence[int]) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, tuple(shape), np.float32)

"""The wrapper that steps the environment with somebody else's action while they act."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from envs.actions import PLAIN, as_action
from envs.intervention.device import make_device, yes_or_no
from envs.resuming.plain import member

EXECUTED = "intervene_action"  # key of the info
MARK, WIDTH = (240, 140, 30), 5  # the frame's border while somebody acts


class Intervention(gym.Wrapper):
    """Lets a device act in the policy's place: `info["intervene_action"]` tells the action that was executed.

    `device` is scripted, keyboard, gamepad, or the path "module:Class" of another one (see
    envs/intervention/device.py); its settings stand beside it. The person may end an episode: a success with reward 1,
    a failure with reward 0, both terminated, told in `info["success"]`. Raises UserError for a device that is unknown
    or does not fit, for an action that is none of the environment's, and outside of a wrapper that changes actions.
    """

    resume_attributes, replay_attributes = ("memory",), ("answers",)
    keeps_rewards = True  # a person's verdict is the task's own reward

    def __init__(self, env: gym.Env, device: str = "scripted", **settings: Any) -> None:
        super().__init__(env)
        if env.action_space != env.unwrapped.action_space:
            raise UserError("Intervention must stand before the wrappers that change actions")
        self.device = make_device(device, env, settings)
        self._name, self._running, self._acting = device, False, False
        self._repeats = not hasattr(self.device, "memory")  # a person cannot be asked again for what a replay needs
        self._answers: list[Any] = []
        self._to_repeat: list[Any] = []

    @property
    def memory(self) -> dict[str, Any]:
        """What outlives an episode, as plain data."""
        return {"running": self._running, "device": getattr(self.device, "memory", None)}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        self._running = bool(memory["running"])
        if memory["device"] is not None:
            self.device.memory = memory["device"]

    @property
    def answers(self) -> list[Any]:
        """Of each step of the running episode the device's action, or None; empty if the device has a memory."""
        return self._answers

    @answers.setter
    def answers(self, answers: list[Any]) -> None:
        self._to_repeat = [None if one is None else member(self.action_space, one) for one in answers]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; one that was cut off from outside counts as no success."""
        if self._running:
            self._tell("end", False)
        obs, info = self.env.reset(seed=seed, options=options)
        self._running, self._acting, self._answers, self._to_repeat = True, False, [], []
        self._tell("begin", seed)
        self._tell("show", obs)
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step, with the device's action while that is active."""
        repeating = bool(self._to_repeat)
        answer = self._to_repeat.pop(0) if repeating else self._ask()
        if self._repeats:
            self._answers.append(answer)
        self._acting = answer is not None
        action = answer if self._acting else action
        obs, reward, terminated, truncated, info = self.env.step(action)
        if self._acting:
            info = {**info, EXECUTED: np.array(action)}
        verdict = None if repeating else self._verdict()
        if verdict is not None:
            reward, terminated, truncated = float(verdict), True, False
            info = {**info, "success": bool(verdict), "is_success": bool(verdict)}
        self._tell("show", obs)
        if terminated or truncated:
            self._running = False
            self._tell("end", succeeded(info, float(reward), terminated))
        return obs, reward, terminated, truncated, info

    def render(self) -> Any:
        """The environment's frame, with a border while somebody else acts."""
        frame = self.env.render()
        if not (self._acting and isinstance(frame, np.ndarray) and frame.ndim == 3):
            return frame
        frame = frame.copy()
        for edge in (frame[:WIDTH], frame[-WIDTH:], frame[:, :WIDTH], frame[:, -WIDTH:]):
            edge[..., :3] = MARK
        return frame

    def close(self) -> None:
        """Close the device and the environment."""
        self.device.close()
        super().close()

    def _tell(self, method: str, *args: Any) -> Any:
        """Call what a device may have; None if this one has not."""
        call = getattr(self.device, method, None)
        return None if call is None else call(*args)

    def _verdict(self) -> bool | None:
        """What the person says of the episode; None: it goes on."""
        verdict = self._tell("verdict")
        return None if verdict is None else yes_or_no(verdict, f"device={self._name}: verdict()", "True, False or None")

    def _ask(self) -> Any:
        """The device's action, None while it is not active. UserError for one that is none of the environment's."""
        if not yes_or_no(self.device.active(), f"device={self._name}: active()", "True or False"):
            return None
        action, space = self.device.read(), self.action_space
        if isinstance(space, PLAIN):
            array = as_action(action, space, f"device={self._name}: read()")
            return array[()] if isinstance(space, spaces.Discrete) else array
        if not space.contains(action):
            raise UserError(f"device={self._name}: read() gave {action!r:.80}, the environment takes {space}")
        return action


def succeeded(info: Mapping[str, Any], reward: float, terminated: bool) -> bool:
    """Whether an episode that ended so was won: as its info tells, else if it terminated with a reward above 0."""
    told = info.get("is_success", info.get("success"))
    return bool(told) if told is not None else terminated and reward > 0

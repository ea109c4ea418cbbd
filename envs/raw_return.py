"""The return of an episode before wrappers changed the rewards, told beside the changed one."""

from typing import Any

import gymnasium as gym

RAW = "raw_return"  # key of the info of an episode's last step


class RawReward(gym.Wrapper):
    """Inside of all wrappers of a config: adds up the rewards that the environment gives."""

    total = 0.0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The environment's own step."""
        answer = self.env.step(action)
        self.total += float(answer[1])
        return answer


class TellRawReturn(gym.Wrapper):
    """Outside of all wrappers: the info of an episode's last step tells the sum of its raw rewards."""

    def __init__(self, env: gym.Env, raw: RawReward) -> None:
        super().__init__(env)
        self._raw = raw

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """What is earned within the reset, as by the step of EpisodicLife, belongs to no episode."""
        answer = self.env.reset(seed=seed, options=options)
        self._raw.total = 0.0
        return answer

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            info = {**info, RAW: self._raw.total}
        return obs, reward, terminated, truncated, info


def changes_rewards(kind: Any) -> bool:
    """Whether a wrapper of this class may change rewards.

    Of a foreign class with a `step` of its own nothing is known; it says `keeps_rewards = True` if it hands rewards on,
    or their sum.
    """
    if getattr(kind, "keeps_rewards", False):
        return False
    if issubclass(kind, gym.RewardWrapper | gym.wrappers.NormalizeReward):
        return True
    if kind.__module__.startswith("gymnasium."):
        return False
    return all(kind.step is not base.step for base in (gym.Wrapper, gym.ObservationWrapper, gym.ActionWrapper))

"""A scripted person who watches the policy, corrects it for a few steps where it makes no way, and fades with success.

The rule is that of human-in-the-loop training on robots (Luo et al., "Precise and dexterous robotic manipulation via
human-in-the-loop reinforcement learning", 2024): let the policy explore, then correct it shortly.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.dotted_path import import_object
from algos.common.errors import UserError
from algos.common.settings import require
from envs.intervention.settings import check_flag, check_least

PROGRESS = 0.5  # steps by which the cost must fall below its best to count
WINDOW = 20  # episodes by which the policy is judged
EAGER, LEAST = 1.25, 0.05  # an episode is watched with probability EAGER (1 - own), at least LEAST


class Scripted:
    """Takes over if the steps left to the goal did not fall for `patience` steps, or rose by `slack` above their best.

    It then acts for `steps[0]` to `steps[1]` steps, `delay` steps after it saw the need, and hands back; the best
    begins anew. `noise` is the standard deviation of normal noise on the expert's action (on the environment's
    `motion_entries`, if it names them). `budget` limits the steps it acts in all, `episodes` the episodes that it
    watches (the first so many), both in one environment. With a `patience` of 0 it acts in every step. With `fading`,
    an episode is watched with probability clip(1.25 (1 - own), 0.05, 1): `own` is the share of the last 20 episodes won
    without its help, those that have not been played yet counting as lost.

    The expert is the environment's method `expert()`, or the function at the path `expert`, called with the
    environment; likewise `cost_to_go`. Where nothing tells the cost, it takes over after every `patience` steps. The
    random stream starts from `seed` and from the seed of the environment's reset. Raises UserError for settings out of
    range, and where there is no expert.
    """

    _left: int  # steps for which it still acts
    _wait: int  # steps until it acts; -1: it sees no need
    _best: float  # the least cost since it last acted
    _stale: int  # steps without progress

    def __init__(
        self,
        env: gym.Env,
        seed: int = 0,
        budget: int | None = None,
        episodes: int | None = None,
        delay: int = 0,
        noise: float = 0.0,
        patience: int = 12,
        slack: float = 6.0,
        steps: tuple[int, int] = (4, 10),
        fading: bool = True,
        expert: str | None = None,
        cost_to_go: str | None = None,
    ) -> None:
        limits = {"budget": budget, "episodes": episodes}
        given = {name: value for name, value in limits.items() if value is not None}
        least = {"seed": seed, **given, "delay": delay, "noise": noise, "patience": patience, "slack": slack}
        for name, value in least.items():
            check_least("scripted", name, value, whole=name not in ("noise", "slack"))
        check_flag("scripted", "fading", fading)
        pair = isinstance(steps, list | tuple) and len(steps) == 2 and all(type(count) is int for count in steps)
        if not pair or not 1 <= steps[0] <= steps[1]:
            raise UserError(f"device=scripted: steps={steps} must be the least and the most steps, [4, 10] say")
        if noise and not isinstance(env.action_space, spaces.Box):
            raise UserError(f"device=scripted: noise={noise} needs Box actions, not {env.action_space}")
        self._expert, self._cost = _function(env, "expert", expert), _function(env, "cost_to_go", cost_to_go)
        if self._expert is None:
            raise UserError(
                f"device=scripted: {type(env.unwrapped).__name__} has no method expert(); name a function of the"
                ' environment: expert: "module:function"'
            )
        self.seed, self.budget, self.delay, self.noise, self.fading = seed, budget, delay, noise, fading
        self.episodes, self._begun = episodes, 0
        self.patience, self.slack, self.steps = patience, slack, steps
        self._space = env.action_space
        self._noisy = np.asarray(getattr(env.unwrapped, "motion_entries", True))
        self._rng = np.random.default_rng(seed)
        self._spent, self._own = 0, [False] * WINDOW  # steps; episodes won without help
        self._forget(watched=True)
        self._helped = False

    @property
    def memory(self) -> dict[str, Any]:
        """Stream, spent budget and window as they are between two episodes; `helped` tells of one cut from outside."""
        stream = self._rng.bit_generator.state
        told = {"stream": stream, "spent": self._spent, "own": list(self._own), "helped": self._helped}
        return {**told, "begun": self._begun}

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        self._rng.bit_generator.state = memory["stream"]
        self._spent, self._helped = int(memory["spent"]), bool(memory["helped"])
        self._own = [bool(won) for won in memory["own"]]
        self._begun = int(memory.get("begun", 0))  # older versions did not count them

    def begin(self, seed: int | None) -> None:
        """Decide whether to watch the episode."""
        if seed is not None:
            self._rng = np.random.default_rng([self.seed, seed])
        dice = self._rng.random()
        self._begun += 1
        left = self.episodes is None or self._begun <= self.episodes
        self._forget(watched=left and (not self.fading or dice < watching(sum(self._own) / WINDOW)))
        self._helped = False

    def end(self, success: bool) -> None:
        """Count an episode."""
        self._own = [*self._own[1:], success and not self._helped]

    def active(self) -> bool:
        """Whether it acts now; looks at the environment once."""
        if self.budget is not None and self._spent >= self.budget:
            return False
        if self._left == 0 and self._watched and self._needed():
            self._left = int(self._rng.integers(self.steps[0], self.steps[1] + 1))
            self._wait = -1
        return self._left > 0

    def read(self) -> Any:
        """The expert's action, with noise; within the bounds, as experts that steer by the distance go beyond."""
        assert self._expert is not None
        action, space = self._expert(), self._space
        self._left, self._spent, self._helped = self._left - 1, self._spent + 1, True
        if self._left == 0:
            self._forget(watched=True)
        if self.noise:
            action = action + self.noise * self._rng.normal(size=np.shape(action)) * self._noisy
        if isinstance(space, spaces.Box) and np.shape(action) == space.shape:
            return np.clip(action, space.low, space.high)
        return action

    def close(self) -> None:
        """Nothing is held."""

    def _forget(self, watched: bool) -> None:
        self._watched, self._left, self._wait = watched, 0, -1
        self._best, self._stale = np.inf, -1  # the first look sets the best

    def _needed(self) -> bool:
        """Whether it is time to act: the need was seen `delay` steps ago."""
        if self._wait < 0:
            cost = 0.0 if self._cost is None else float(self._cost())
            fell = cost <= self._best - PROGRESS
            self._best, self._stale = (cost, 0) if fell else (self._best, self._stale + 1)
            if self._stale >= self.patience or cost > self._best + self.slack:
                self._wait = self.delay
        else:
            self._wait -= 1
        return self._wait == 0


def watching(own: float) -> float:
    """The probability with which an episode is watched, from the share that the policy wins alone."""
    return min(max(EAGER * (1 - own), LEAST), 1.0)


def _function(env: gym.Env, name: str, path: str | None) -> Callable[[], Any] | None:
    """What a path or the environment's method of that name does, as a function without arguments; None if neither."""
    if path is None:
        own = getattr(env.unwrapped, name, None)
        return own if callable(own) else None
    require(isinstance(path, str), f"device=scripted: {name}={path} must be the path of a function, module:function")
    found = import_object(path, f"device=scripted, {name}={path}")
    if not callable(found):
        raise UserError(f"device=scripted: {name}={path} is no function")
    return lambda: found(env)

"""Rules that serve a single environment and vectors of many rows, in NumPy, with same-step reset."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.resuming.plain import plain, rng_state, set_rng
from envs.vectors.rows import ended, first_seed


class Rules(ABC):
    """A task over `n` rows. A subclass sets the spaces and `saved`, and says how rows start and continue."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    saved: ClassVar[tuple[str, ...]]  # the arrays [n, ...] that make up the state

    @abstractmethod
    def start(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        """Begin an episode in the rows of these indices."""

    @abstractmethod
    def observe(self) -> np.ndarray:
        """Observations [n, ...], a new array."""

    @abstractmethod
    def advance(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Actions [n] -> reward, terminated and truncated [n], and what is told beside them, by key [n]."""

    @abstractmethod
    def frame(self, row: int) -> np.ndarray:
        """A picture [H, W, 3] of a row."""


class RulesEnv(gym.Env[Any, Any]):
    """The rules for one environment. A subclass gives `rules`, and the parameters that a user may set."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}
    always_ends = True

    def __init__(self, rules: Rules, render_mode: str | None) -> None:
        self.rules, self.render_mode = rules, render_mode
        self.observation_space, self.action_space = rules.observation_space, rules.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self.rules.start(np.arange(1), self.np_random)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Continue by the rules."""
        reward, terminated, truncated, told = self.rules.advance(np.asarray([action]))
        info = {name: value[0].item() for name, value in told.items()}
        return self._obs(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def _obs(self) -> Any:
        return self.rules.observe()[0]

    def render(self) -> Any:
        """A frame [H, W, 3]; None without a render mode."""
        return None if self.render_mode is None else self.rules.frame(0)


class RulesVector(VectorEnv):
    """The rules for many rows in one step of NumPy; one random stream serves all rows."""

    metadata: dict[str, Any] = RulesEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, make_rules: Callable[[int], Rules], num_envs: int, max_episode_steps: int | None, render_mode: str | None
    ) -> None:
        self.rules, self.num_envs, self.render_mode = make_rules(num_envs), num_envs, render_mode
        self.limit = max_episode_steps
        self.single_observation_space, self.single_action_space = self.rules.observation_space, self.rules.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.steps = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all rows; of a list of seeds the first one seeds the common stream."""
        super().reset(seed=first_seed(seed), options=options)
        self._start(np.arange(self.num_envs))
        return self.rules.observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; a row that ends is reset and its last observation goes to `infos`."""
        reward, terminated, truncated, told = self.rules.advance(np.asarray(actions))
        self.steps += 1
        if self.limit is not None:
            truncated = truncated | (self.steps >= self.limit)
        obs, infos, done = self.rules.observe(), {}, terminated | truncated
        if done.any():
            last = {name: np.where(done, value, 0) for name, value in told.items()}
            last |= {f"_{name}": done.copy() for name in told}
            infos = ended(obs, done, last)
            self._start(np.flatnonzero(done))
            obs = self.rules.observe()
        return obs, reward, terminated, truncated, infos

    def _start(self, rows: np.ndarray) -> None:
        self.steps[rows] = 0
        self.rules.start(rows, self.np_random)

    def render(self) -> Any:
        """A frame [H, W, 3] of each row; None without a render mode."""
        return None if self.render_mode is None else tuple(self.rules.frame(row) for row in range(self.num_envs))

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data."""
        kept = {name: plain(getattr(self.rules, name)) for name in self.rules.saved}
        return kept | {"steps": plain(self.steps), "rng": rng_state(self)}

    def restore(self, snapshot: dict[str, Any]) -> str | None:
        """Take over a state saved by `snapshot`; returns None, for it is exact."""
        for name in self.rules.saved:
            setattr(self.rules, name, plain(snapshot[name]))
        self.steps = plain(snapshot["steps"])
        set_rng(self, snapshot["rng"])
        return None

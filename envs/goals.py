"""Goal environments: a reward that is sparse, and known for any goal; importing this module registers joyride/*."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class GoalEnv(gym.Env[Any, Any]):
    """Base of the goal environments: reward -1 per step, 0 at the goal; episodes end only at the time limit."""

    state: np.ndarray
    goal: np.ndarray

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        """0 if the goal is reached, else -1; goals [..., D] -> [...]."""
        return self.reached(achieved_goal, desired_goal).astype(np.float64) - 1.0

    def reached(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> Any:
        """Whether a goal is reached; goals [..., D] -> [...]."""
        raise NotImplementedError

    def _obs(self) -> dict[str, np.ndarray]:
        return {"observation": self.state.copy(), "achieved_goal": self.state.copy(), "desired_goal": self.goal.copy()}

    def _outcome(self) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        reward = float(self.compute_reward(self.state, self.goal, {}))
        return self._obs(), reward, False, False, {"is_success": reward == 0.0}


class BitFlip(GoalEnv):
    """Flip one of `n_bits` bits a step until they are as wanted (Andrychowicz et al., 2017, section 3.1)."""

    def __init__(self, n_bits: int = 8):
        bits = spaces.Box(0.0, 1.0, (n_bits,), np.float32)
        self.observation_space = spaces.Dict({"observation": bits, "achieved_goal": bits, "desired_goal": bits})
        self.action_space = spaces.Discrete(n_bits)
        self.n_bits = n_bits

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.state, self.goal = self.np_random.integers(2, size=(2, self.n_bits)).astype(np.float32)
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.state[action] = 1 - self.state[action]
        return self._outcome()

    def reached(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> Any:
        return (np.asarray(achieved_goal) == np.asarray(desired_goal)).all(-1)


class PointReach(GoalEnv):
    """Move a point in a square to a goal: steps of at most 0.1 in each direction, reached within 0.1."""

    def __init__(self) -> None:
        place = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Dict({"observation": place, "achieved_goal": place, "desired_goal": place})
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.state, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        move = 0.1 * np.clip(np.asarray(action, dtype=np.float32), -1, 1)
        self.state = np.clip(self.state + move, -1, 1).astype(np.float32)
        return self._outcome()

    def reached(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> Any:
        return np.linalg.norm(np.asarray(achieved_goal) - np.asarray(desired_goal), axis=-1) <= 0.1


gym.register("joyride/BitFlip-v0", "envs.goals:BitFlip", max_episode_steps=8)
gym.register("joyride/PointReach-v0", "envs.goals:PointReach", max_episode_steps=50)

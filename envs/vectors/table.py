"""Environments that list their transition probabilities, all rows at once."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from algos.common.errors import UserError
from envs.model import model_of
from envs.resuming.plain import rng_state, set_rng
from envs.vectors.rows import ended, first_seed


class TableVector(VectorEnv):
    """Steps `n` rows of an environment that has `P` by its probabilities, with same-step reset.

    One random stream serves all rows: that of `env`, which gives the first state of each episode. Infos are empty
    but for `final_obs`. Raises UserError for an environment that says more than its probabilities, or no `P`.
    """

    def __init__(self, env: gym.Env, n: int, limit: int | None):
        """An episode is truncated after `limit` steps."""
        base: Any = env.unwrapped
        model = model_of(env)
        if getattr(base, "fickle_passenger", False):
            raise UserError("a fickle passenger is not in Taxi's probabilities")
        self.env, self.num_envs, self.limit = env, n, np.inf if limit is None else limit
        self.spec, self.render_mode = env.spec, None
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        below = model["probability"].cumsum(2)
        self.below = below / below[..., -1:]  # [S, A, K]: a draw below it takes outcome k or an earlier one
        self.next_state, self.reward, self.terminated = model["next_state"], model["reward"], model["terminated"]
        self.few = self.below.shape[2] == 1  # nothing is drawn
        self.start = int(getattr(base.action_space, "start", 0))
        self.obs = _members(self.single_observation_space)
        self.state, self.steps = np.zeros(n, np.int64), np.zeros(n, np.int64)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all rows; of a list of seeds the first one seeds the common stream."""
        self.state = self._first_states(self.num_envs, first_seed(seed))
        self.steps = np.zeros(self.num_envs, np.int64)
        return self.obs[self.state], {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; a row that ends is reset and its last observation goes to `infos`."""
        action = actions - self.start
        outcome: Any = 0
        if not self.few:
            dice = self.env.unwrapped.np_random.random((self.num_envs, 1))
            outcome = (dice >= self.below[self.state, action]).sum(1)
        at = (self.state, action, outcome)
        reward, terminated, state = self.reward[at], self.terminated[at], self.next_state[at]
        self.steps = self.steps + 1
        truncated = self.steps >= self.limit
        done = terminated | truncated
        self.state = state
        if not np.count_nonzero(done):
            return self.obs[state], reward, terminated, truncated, {}
        infos = ended(self.obs[state], done)
        self.state = state.copy()
        self.state[done] = self._first_states(int(done.sum()))
        self.steps[done] = 0
        return self.obs[self.state], reward, terminated, truncated, infos

    def _first_states(self, n: int, seed: int | None = None) -> np.ndarray:
        """States in which `n` episodes begin."""
        obs = [self.env.reset(seed=seed if row == 0 else None)[0] for row in range(n)]
        if self.obs.ndim == 1:
            return np.array(obs, np.int64) - self.obs[0]
        space: Any = self.single_observation_space
        return np.ravel_multi_index(tuple((np.array(obs) - space.start).T), tuple(space.nvec))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environment that gives the first states."""
        self.env.close()

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data."""
        return {"state": self.state, "steps": self.steps, "rng": rng_state(self.env.unwrapped)}

    def restore(self, snapshot: dict[str, Any]) -> str | None:
        """Take over a state saved by `snapshot`; returns None, for it is exact."""
        self.state, self.steps = np.array(snapshot["state"]), np.array(snapshot["steps"])
        self.env.reset()  # makes the generator that is set
        set_rng(self.env.unwrapped, snapshot["rng"])
        return None


def _members(space: Any) -> np.ndarray:
    """All members of a Discrete or MultiDiscrete space [S, ...], the last part varying fastest."""
    if isinstance(space, spaces.Discrete):
        return np.arange(int(space.n)) + int(space.start)
    parts = np.unravel_index(np.arange(int(np.prod(space.nvec))), tuple(space.nvec))
    return (np.stack(parts, axis=1) + space.start).astype(space.dtype)

"""Vector environments that step all rows at once in NumPy, with same-step reset.

The true last observation of an episode is in `infos["final_obs"]`, as in `envs.vectors.stepped`.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv

from algos.common.errors import UserError
from envs.resuming.plain import plain, rng_state, set_rng
from envs.vectors.rows import ended, first_seed
from envs.vectors.table import TableVector


class CartPoleVector(CartPoleVectorEnv):
    """All CartPoles in one step of NumPy, with same-step reset; one random stream serves all rows."""

    metadata = CartPoleVectorEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}
    state: Any
    _saved = ("state", "steps", "low", "high")

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all rows; of a list of seeds the first one seeds the common stream."""
        return super().reset(seed=first_seed(seed), options=options)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; a row that ends is reset and its last observation goes to `infos`."""
        self.prev_done = np.zeros(self.num_envs, np.bool_)  # else the base class resets what this one has reset
        obs, reward, terminated, truncated, infos = super().step(action)
        done = self.prev_done
        if done.any():
            infos = ended(obs, done)
            self.state[:, done] = self.np_random.uniform(self.low, self.high, size=(4, done.sum()))
            self.steps[done] = 0
            obs = self.state.T.astype(np.float32)
        return obs, reward.astype(np.float64), terminated, truncated, infos

    def snapshot(self) -> dict[str, Any]:
        """The state as plain data."""
        return {name: plain(getattr(self, name)) for name in self._saved} | {"rng": rng_state(self)}

    def restore(self, snapshot: dict[str, Any]) -> str | None:
        """Take over a state saved by `snapshot`; returns None, for it is exact."""
        for name in self._saved:
            setattr(self, name, plain(snapshot[name]))
        set_rng(self, snapshot["rng"])
        return None


def make_native(
    spec: gym.envs.registration.EnvSpec, n_envs: int, limit: int | None, kwargs: dict[str, Any], render_mode: str | None
) -> VectorEnv:
    """The vector form that an environment brings along, or one made from its probabilities, truncated at `limit` steps.

    Raises UserError if there is none with same-step reset.
    """
    if spec.vector_entry_point is None:
        single = gym.make(spec, -1, disable_env_checker=True, **kwargs)
        if hasattr(single.unwrapped, "P") and render_mode is None:
            try:
                return TableVector(single, n_envs, limit)
            except UserError as error:
                raise UserError(f"env_cfg.vectorization=native: {error}; use sync") from error
        single.close()
    kwargs = spec.kwargs | kwargs | ({} if limit is None else {"max_episode_steps": limit})
    kwargs |= {} if render_mode is None else {"render_mode": render_mode}
    venv: VectorEnv | None = None
    if str(spec.vector_entry_point).endswith(f"cartpole:{CartPoleVectorEnv.__name__}"):
        venv = CartPoleVector(num_envs=n_envs, **kwargs)
        venv.spec = spec
    elif spec.vector_entry_point is not None:
        venv = gym.make_vec(spec, n_envs, vectorization_mode="vector_entry_point", **kwargs)
    if venv is None or venv.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise UserError(
            f"env_cfg.vectorization=native: {spec.id} has no vector form with same-step reset; use sync or async"
        )
    modes = venv.metadata.get("render_modes", ())
    if render_mode is not None and render_mode not in modes:
        raise UserError(f"env_cfg.vectorization=native: {spec.id} renders only {', '.join(modes) or 'nothing'}")
    return venv

"""What Gymnasium's wrappers for Atari games lack. Imported only where a config names it: `envs.atari.EpisodicLife`."""

from typing import Any

import gymnasium as gym
import numpy as np

from algos.common.errors import UserError
from envs.resuming.emulator import game_state, set_game_state


class EpisodicLife(gym.Wrapper):
    """Ends an episode where a life is lost; the next one continues with the game (Mnih et al. 2015).

    AtariPreprocessing(terminal_on_life_loss=True) begins a new game after each life instead, so that a long game's
    later screens are never seen. It stands outside of AtariPreprocessing and inside of FrameStackObservation. Raises
    UserError for an environment that is no Atari game.
    """

    resume_attributes = ("game",)
    keeps_rewards = True

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._base: Any = env.unwrapped
        if not hasattr(self._base, "clone_state"):
            raise UserError(f"EpisodicLife is for Atari games (ALE), not for {type(self._base).__name__}")
        self._over = True
        self._lives = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Continue after a lost life with a step of no action; a new game after the last one, or with a seed."""
        if self._over or seed is not None:
            obs, info = self.env.reset(seed=seed, options=options)
        else:
            obs, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        self._over, self._lives = False, self._base.ale.lives()
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Terminated also where a life is lost; `info["game_over"]` tells the two apart."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._over, before = terminated or truncated, self._lives
        self._lives = self._base.ale.lives()
        info["game_over"] = self._over
        return obs, reward, terminated or self._lives < before, truncated, info

    @property
    def game(self) -> dict[str, Any]:
        """The running game as plain data: an episode that begins in its midst is resumed from here."""
        if self._over:
            return {"over": True, "lives": 0, "state": np.zeros(0, np.uint8)}
        return {"over": False, "lives": self._lives, "state": game_state(self._base)}

    @game.setter
    def game(self, saved: dict[str, Any]) -> None:
        self._over, self._lives = bool(saved["over"]), int(saved["lives"])
        if not self._over:
            self.env.reset()  # wrappers want to be reset before the first step
            set_game_state(self._base, saved["state"])

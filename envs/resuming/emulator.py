"""The state of an Atari game with its own random stream, which repeats actions at random in `ALE/*-v5`."""

from typing import Any

import numpy as np


def game_state(env: Any) -> np.ndarray | None:
    """The game of ALE's environment `env` as bytes [n], its random stream included; None for another environment."""
    if not (hasattr(env, "ale") and hasattr(env, "clone_state")):
        return None
    return np.frombuffer(env.clone_state(include_rng=True).serialize(), np.uint8)


def set_game_state(env: Any, state: np.ndarray) -> None:
    """Take the game back to what `game_state` gave."""
    from ale_py import ALEState

    env.restore_state(ALEState(np.asarray(state, np.uint8).tobytes()))

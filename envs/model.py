"""The transition probabilities of an environment as arrays, for planning."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError


def model_of(env: gym.Env) -> dict[str, np.ndarray]:
    """The K outcomes of every state and action, [S, A, K] each: probability, next_state, reward, terminated.

    They are read from the environment's `P`, as Gymnasium's toy environments have it: P[s][a] is a list of
    (probability, next state, reward, terminated), shorter lists filled up with probability 0. Raises UserError for an
    environment without it, for one whose observations are not those states, and for wrappers that change spaces.
    """
    base: Any = env.unwrapped
    name = env.spec.id if env.spec is not None else type(base).__name__
    table = getattr(base, "P", None)
    if not isinstance(table, dict) or not table:
        raise UserError(
            f"planning needs an environment that lists its transition probabilities (attribute P), but {name} does not:"
            " use FrozenLake-v1, CliffWalking-v1, Taxi-v4 or one of joyride's own, or an algorithm that learns"
        )
    if env.observation_space != base.observation_space or env.action_space != base.action_space:
        raise UserError(f"planning uses the probabilities of {name} itself: leave out wrappers that change its spaces")
    n_states, n_actions = len(table), len(table[0])
    if n_states != _members(base.observation_space) or n_actions != _members(base.action_space):
        raise UserError(
            f"planning needs observations that identify the state: {name} has {n_states} states, but its observations"
            " are"
            f" {base.observation_space}"
        )
    lists = [table[state][action] for state in range(n_states) for action in range(n_actions)]
    counts = np.array([len(outcomes) for outcomes in lists])
    flat = np.array([outcome for outcomes in lists for outcome in outcomes], dtype=np.float64)  # [outcomes in all, 4]
    full = np.zeros((len(lists), counts.max(), 4))
    place = np.arange(len(flat)) - np.repeat(counts.cumsum() - counts, counts)  # of an outcome in its list
    full[np.repeat(np.arange(len(lists)), counts), place] = flat
    columns = np.moveaxis(full.reshape(n_states, n_actions, -1, 4), -1, 0)
    probability, next_state, reward, terminated = (np.ascontiguousarray(column) for column in columns)
    return {
        "probability": probability,
        "next_state": next_state.astype(np.int64),
        "reward": reward,
        "terminated": terminated.astype(bool),
    }


def _members(space: spaces.Space[Any]) -> int:
    """How many members a Discrete or MultiDiscrete space has; 0 for any other."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    return int(np.prod(space.nvec)) if isinstance(space, spaces.MultiDiscrete) else 0

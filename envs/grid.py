"""The map of a grid world, found from the environment itself, so that what was learned can be drawn on it."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


@dataclass
class Grid:
    """`shape` is (rows, columns); observations are numbered row by row, `layers` states (speeds, say) to a cell.

    `moves` gives each action's (down, right), empty where actions have no direction; `blocked` and `ends` [rows,
    columns] mark cells that are never stood on, and cells that end an episode.
    """

    shape: tuple[int, int]
    layers: int
    moves: dict[int, tuple[float, float]]
    blocked: np.ndarray
    ends: np.ndarray


def grid_of(env: gym.Env) -> Grid | None:
    """The grid of an environment, or None for one that has none.

    Its size is the attribute `grid_shape`, else the shape of Gymnasium's `desc` or `shape`, if there is one state for
    each cell. Actions move as `grid_moves` says, else as the probabilities `P` do.
    """
    base: Any = env.unwrapped
    space = base.observation_space
    if env.observation_space != space or not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return None
    n_states = int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.nvec))
    shape = _shape(base, n_states)
    if shape is None:
        return None
    cells = shape[0] * shape[1]
    blocked = ends = np.zeros(shape, dtype=bool)
    moves: dict[int, tuple[float, float]] = dict(getattr(base, "grid_moves", {}))
    if hasattr(base, "text_map"):  # a world of our own: walls and ends are written in its map
        signs = np.array([list(line) for line in base.text_map()])
        blocked, ends = signs == "#", np.isin(signs, ["G", "H"])
    elif isinstance(table := getattr(base, "P", None), dict) and len(table) == n_states == cells:
        blocked, ends = _marks(base, table, shape)
        moves = moves or _moves(table, shape)
    return Grid(shape, n_states // cells, moves, blocked, ends)


def _shape(base: Any, n_states: int) -> tuple[int, int] | None:
    """(rows, columns) of a grid whose cells hold all states, or None."""
    given = getattr(base, "grid_shape", None)
    found = given or getattr(getattr(base, "desc", None), "shape", None) or getattr(base, "shape", None)
    if not isinstance(found, tuple) or len(found) != 2 or not all(isinstance(n, int | np.integer) for n in found):
        return None
    cells = int(found[0] * found[1])
    fits = n_states % cells == 0 if given else n_states == cells
    return (int(found[0]), int(found[1])) if fits else None


def _marks(base: Any, table: dict[Any, Any], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cells that no start and no move leads to, and cells in which episodes end."""
    start = np.asarray(getattr(base, "initial_state_distrib", np.ones(len(table)))) > 0
    reached, ends = start.copy(), np.zeros(len(table), dtype=bool)
    todo = np.flatnonzero(start).tolist()
    while todo:
        for outcomes in table[todo.pop()].values():
            for probability, to, _, terminated in outcomes:
                if probability > 0 and terminated:
                    reached[to] = ends[to] = True
                elif probability > 0 and not reached[to]:
                    reached[to] = True
                    todo.append(int(to))
    return ~reached.reshape(shape), ends.reshape(shape)


def _moves(table: dict[Any, Any], shape: tuple[int, int]) -> dict[int, tuple[float, float]]:
    """Each action's mean move, of those to a neighbour: being thrown back to the start is none."""
    moves = {}
    for action in table[0]:
        total = np.zeros(2)
        for state in range(len(table)):
            for probability, to, *_ in table[state][action]:
                step = np.subtract(np.unravel_index(to, shape), np.unravel_index(state, shape))
                if np.abs(step).sum() == 1:
                    total += probability * step
        if np.abs(total).max() < 1e-9:
            return {}  # an action without a direction: arrows would tell nothing
        down, right = total / np.abs(total).max()
        moves[int(action)] = (float(np.round(down)), float(np.round(right)))
    return moves

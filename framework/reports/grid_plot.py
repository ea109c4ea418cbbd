"""figs/policy.png: the values and greedy moves of a table, drawn on the map of its grid world."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from envs.grid import Grid, grid_of
from framework.reports.canvas import agg_figure, no_harm, save
from framework.reports.titles import title_of
from framework.runs.run_folder import RunFolder

MOST_NUMBERS = 150  # cells up to which each shows its value as a number
EQUAL = 1e-6  # values that differ by less, relative to the largest, are drawn as equally good moves


def plot_policy(folder: RunFolder, q_value: np.ndarray, grid: Grid) -> Path | None:
    """Draw figs/policy.png for a table Q [S, A]; None if it has other states than the grid, or cannot be drawn."""
    if len(q_value) != grid.shape[0] * grid.shape[1] * grid.layers:
        return None
    out = folder.figs / "policy.png"
    with no_harm("the picture of the policy"):
        return save(draw_policy(q_value, grid, title_of(folder.path)), out)
    return None


def plot_tables(folder: RunFolder, policy: Any, make_env: Callable[[bool], Any]) -> None:
    """The same of a policy that has tables, in the environment that `make_env(False)` makes; of others nothing."""
    tables = getattr(policy, "tables", None)
    if tables is None:
        return
    env = make_env(False)
    try:
        grid = grid_of(env)
    finally:
        env.close()
    if grid is not None:
        plot_policy(folder, tables()["q_value"], grid)


def draw_policy(q_value: np.ndarray, grid: Grid, title: str = "") -> Any:
    """The figure of a table Q [S, A]: colours are values, arrows the best moves, of equals all.

    Where a cell holds several states (speeds), its colour is the best of them, states never updated left out.
    """
    rows, columns = grid.shape
    value = cell_values(q_value, grid)
    cell = min(0.75, 10 / max(rows, columns))  # inches
    figure = agg_figure(figsize=(2.2 + cell * columns, 0.8 + cell * rows), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#6a6a6a")  # cells without a value: walls, and what was never seen
    image = axes.imshow(np.ma.masked_invalid(value), cmap="YlGnBu", interpolation="none")
    figure.colorbar(image, ax=axes, shrink=0.8, label="value of the best action")
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks(np.arange(columns + 1) - 0.5, labels=[])
    axes.set_yticks(np.arange(rows + 1) - 0.5, labels=[])
    axes.tick_params(length=0)
    axes.grid(color="white", linewidth=0.8)
    for row, column in np.argwhere(grid.ends):
        axes.text(column, row, "end", ha="center", va="center", fontsize=8, color="white")
    if grid.layers == 1:
        _draw_moves(axes, q_value, value, grid)
    return figure


def cell_values(q_value: np.ndarray, grid: Grid) -> np.ndarray:
    """max_a Q(s, a) by cell [rows, columns]; nan for walls, ends and cells of which nothing is known."""
    value = q_value.max(1)
    if grid.layers > 1:
        unseen = (q_value == np.median(q_value)).all(1)  # most states of such a world are never visited
        value = np.where(unseen, -np.inf, value)
    cells = value.reshape(*grid.shape, grid.layers).max(2)
    return np.where(grid.blocked | grid.ends | ~np.isfinite(cells), np.nan, cells)


def _draw_moves(axes: Any, q_value: np.ndarray, value: np.ndarray, grid: Grid) -> None:
    """An arrow for each of the best actions of a cell, and its value below."""
    low, high = (np.nanmin(value), np.nanmax(value)) if np.isfinite(value).any() else (0.0, 1.0)
    slack = EQUAL * max(abs(low), abs(high), 1e-300)
    for row, column in np.argwhere(np.isfinite(value)):
        color = "white" if value[row, column] > (low + high) / 2 and high > low else "#222222"
        if value.size <= MOST_NUMBERS:
            text = f"{value[row, column]:.3g}"
            axes.text(column, row + 0.4, text, ha="center", va="bottom", fontsize=6.5, color=color)
        q = q_value[row * grid.shape[1] + column]
        for action in np.flatnonzero(q >= q.max() - slack) if grid.moves else ():
            down, right = grid.moves[int(action)]
            length = 0.27 / max(1.0, np.hypot(down, right))
            axes.annotate(
                "",
                xy=(column + length * right, row - 0.08 + length * down),
                xytext=(column, row - 0.08),
                arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0},
            )

"""Datasets: whole episodes as columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from algos.common.trees import Tree, tree_leaves, tree_map
from framework.data.buffers import learning_dtype

STEP_COLUMNS = ("action", "reward", "terminated", "truncated")  # one row a step


@dataclass
class Dataset:
    """Whole episodes: S steps of E episodes, and what is known of where they come from.

    `columns`: `obs` has S + E rows, each episode's T + 1 in a row; action, reward, terminated and truncated have S.
    `first` [E + 1]: the number of each episode's first step, and S. Actions are as the environment took them.
    Floats are float32. `facts` are JSON's: env_id, kwargs, wrappers, policy, seed, ref_min_score, ref_max_score, ...
    """

    columns: dict[str, Tree]
    first: np.ndarray
    obs_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    facts: dict[str, Any] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # of each source: the number of episodes up to its end

    @property
    def steps(self) -> int:
        """S."""
        return int(self.first[-1])

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.first) - 1

    def returns(self) -> np.ndarray:
        """The return of each episode [E], undiscounted."""
        ends = np.concatenate([[0.0], np.cumsum(self.columns["reward"], dtype=np.float64)])[self.first]
        return np.diff(ends)

    def successes(self) -> np.ndarray:
        """Which steps [S] end their episode in success: terminated, with a reward above 0."""
        return np.asarray(self.columns["terminated"], bool) & (self.columns["reward"] > 0)

    def each(self) -> Iterator[dict[str, Tree]]:
        """The episodes, one after the other: obs [T + 1, ...], the others [T, ...]."""
        for number, (start, stop) in enumerate(zip(self.first[:-1], self.first[1:], strict=True)):
            steps, seen = slice(start, stop), slice(start + number, stop + number + 1)
            places = {name: seen if name == "obs" else steps for name in ("obs", *STEP_COLUMNS)}
            yield {name: tree_map(lambda leaf, at=at: leaf[at], self.columns[name]) for name, at in places.items()}

    def pieces(self, rows: int = 65_536) -> Iterator[Tree]:
        """All observations as tensors, so many rows at a time: for statistics."""
        obs = self.columns["obs"]
        for start in range(0, len(tree_leaves(obs)[0]), rows):
            yield tree_map(lambda leaf, at=start: torch.from_numpy(leaf[at : at + rows]), obs)


class ColumnsOfEpisodes:
    """Columns that grow episode by episode, without a second copy of what is there already."""

    def __init__(self) -> None:
        self.columns: dict[str, Tree] = {}
        self.first = [0]
        self.rows = {"obs": 0, "steps": 0}

    def add(self, episode: dict[str, Any]) -> None:
        """One episode: obs [T + 1, ...], the others [T, ...]; ValueError where its shapes are not the first one's."""
        given = {name: tree_map(np.asarray, episode[name]) for name in ("obs", *STEP_COLUMNS)}
        if not self.columns:
            self.columns = tree_map(lambda leaf: np.empty((0, *leaf.shape[1:]), learning_dtype(leaf.dtype)), given)
        steps = len(given["reward"])
        for name, values in given.items():
            kind, more = ("obs", steps + 1) if name == "obs" else ("steps", steps)
            start = self.rows[kind]
            self.columns[name] = tree_map(
                lambda column, new, at=start, n=more: _extended(column, new, at, n), self.columns[name], values
            )
        self.rows = {"obs": self.rows["obs"] + steps + 1, "steps": self.rows["steps"] + steps}
        self.first.append(self.first[-1] + steps)

    def finish(self) -> tuple[dict[str, Tree], np.ndarray]:
        """The columns, cut to what is filled, and the numbers of first steps."""
        for name, column in self.columns.items():
            rows = self.rows["obs" if name == "obs" else "steps"]
            self.columns[name] = tree_map(lambda leaf, n=rows: _resized(leaf, n), column)
        return self.columns, np.array(self.first)


def _extended(column: np.ndarray, new: np.ndarray, start: int, rows: int) -> np.ndarray:
    """A column with `rows` more from row `start` on, grown by an eighth where it is full.

    Its type becomes one that holds both, where an episode before had whole numbers or smaller ones.
    """
    if new.shape[1:] != column.shape[1:]:
        raise ValueError(f"shape {list(new.shape[1:])}, before it was {list(column.shape[1:])}")
    kind = learning_dtype(np.result_type(column.dtype, learning_dtype(new.dtype)))
    if kind != column.dtype:
        column = column.astype(kind)
    if start + rows > len(column):
        column = _resized(column, start + rows + (start + rows) // 8)
    column[start : start + rows] = new
    return column


def _resized(column: np.ndarray, rows: int) -> np.ndarray:
    column.resize((rows, *column.shape[1:]), refcheck=False)  # in place: the system moves pages, not bytes
    return column


def joined(parts: Iterable[dict[str, Any]]) -> tuple[dict[str, Tree], np.ndarray]:
    """Episodes as columns, and the numbers of their first steps [E + 1]."""
    columns = ColumnsOfEpisodes()
    for episode in parts:
        columns.add(episode)
    return columns.finish()

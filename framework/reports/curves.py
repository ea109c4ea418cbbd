"""Reward curves over env steps, from the tables of runs, and means over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from framework.reports.statistics import mean_interval
from framework.reports.tables import Columns, read_csv

MAX_PLACES = 400  # of a joined curve
SAME_END = 0.03  # of the length: runs that end that close to each other end together


@dataclass
class Curve:
    """Reward [n] over environment steps [n], and the lowest and highest episode behind it."""

    x: np.ndarray
    y: np.ndarray
    least: float
    most: float
    evaluated: bool  # the reward is that of evaluations, not of training episodes


@dataclass
class Joined:
    """The mean over seeds [m] at environment steps [m], with its 95% interval."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    held: bool  # a run that ended earlier than another counts on with its last value


def curve_of(run: Path) -> Curve | None:
    """A run's evaluations, else the running mean of its episodes; None if it has neither."""
    evaluations = read_csv(run / "results" / "eval.csv")
    clock = clock_of(evaluations)
    episodes = points(read_csv(run / "results" / "episodes.csv"), "env_step", "reward")
    x, y = points(evaluations, clock, "mean_reward")
    evaluated = bool(x.size)
    if not evaluated:
        x, reward = episodes
        y = running_mean(reward, window_of(len(x)))
    if not x.size:
        return None
    seen = [episodes[1], y, *(np.array(evaluations.get(name, [])) for name in ("min_reward", "max_reward"))]
    rewards = np.concatenate(seen)
    rewards = rewards[np.isfinite(rewards)]
    order = np.argsort(x, kind="stable")
    return Curve(x[order], y[order], float(rewards.min()), float(rewards.max()), evaluated)


def join(curves: Sequence[Curve]) -> Joined:
    """The mean of several curves, from where all have begun to where the longest ends.

    The interval goes no further than the lowest and the highest episode of all: no mean lies beyond.
    """
    first, last = max(curve.x[0] for curve in curves), max(curve.x[-1] for curve in curves)
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(x >= first) & (x <= last)]
    if len(x) > MAX_PLACES:
        x = np.linspace(first, last, MAX_PLACES)
    values = np.stack([np.interp(x, curve.x, curve.y) for curve in curves])  # beyond its end: the last value
    intervals = np.array([mean_interval(column.tolist()) for column in values.T])
    low, high = np.clip(intervals.T, min(c.least for c in curves), max(c.most for c in curves))
    held = min(curve.x[-1] for curve in curves) < last - SAME_END * (last - first)
    return Joined(x, values.mean(0), low, high, held)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values at each place, of fewer at the start. [n] -> [n]"""
    total = np.cumsum(np.concatenate(([0.0], values)))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def window_of(count: int) -> int:
    """Episodes in the running mean of so many."""
    return min(100, max(1, count // 10))


def clock_of(evaluations: Columns) -> str:
    """The column that tells when: env steps, or updates of a run that makes none."""
    return "env_step" if any(evaluations.get("env_step", [])) or "update_step" not in evaluations else "update_step"


def points(columns: Columns, *names: str) -> list[np.ndarray]:
    """The named columns as arrays [n], without the rows that have a gap in one of the first two."""
    if any(name not in columns for name in names[:2]):
        return [np.empty(0) for _ in names]
    count = len(columns[names[0]])
    arrays = [np.nan_to_num(np.array(columns.get(name, [0.0] * count))) for name in names[2:]]
    arrays = [np.array(columns[name]) for name in names[:2]] + arrays
    whole = np.isfinite(arrays[0]) & np.isfinite(arrays[1])
    return [array[whole] for array in arrays]

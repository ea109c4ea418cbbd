"""Groups of runs that differ only in the seed, and their scores (without numpy)."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framework.reports.statistics import mean_interval
from framework.reports.tables import read_csv


@dataclass
class Member:
    """A run of a group; one that is not `done` is shown, but has no part in the mean."""

    folder: Path
    done: bool = True


@dataclass
class Group:
    """Runs of one setting; `name` is what tells it from the other groups."""

    name: str
    runs: list[Member] = field(default_factory=list)

    @property
    def done(self) -> list[Path]:
        """The runs that count."""
        return [run.folder for run in self.runs if run.done]


@dataclass
class Score:
    """A group's scores: the final evaluation's mean over seeds, its 95% interval, and the best evaluation's mean."""

    n: int
    mean: float
    low: float | None  # None of a single run
    high: float | None
    best: float


def group_runs(runs: Sequence[tuple[str, Member]]) -> list[Group]:
    """Groups of runs by the name of their setting, in the order in which they come."""
    groups: dict[str, Group] = {}
    for name, run in runs:
        groups.setdefault(name, Group(name)).runs.append(run)
    return list(groups.values())


def score_of(group: Group) -> Score | None:
    """The score over the runs that are done; None if none of them has one."""
    evaluations = [pair for run in group.done if (pair := final_and_best(run)) is not None]
    if not evaluations:
        return None
    finals, bests = [final for final, _ in evaluations], [best for _, best in evaluations]
    mean, best = statistics.fmean(finals), statistics.fmean(bests)
    if len(finals) == 1:
        return Score(1, mean, None, None, best)
    low, high = mean_interval(finals)
    least, most = _possible(group.done, finals)
    return Score(len(finals), mean, max(low, least), min(high, most), best)


def final_and_best(run: Path) -> tuple[float, float] | None:
    """The last and the best mean reward of a run's evaluations; of a test, twice the mean of its episodes."""
    means = read_csv(run / "results" / "eval.csv").get("mean_reward")
    if means:
        return means[-1], max(means)
    tested = read_csv(run / "results" / "test.csv").get("reward")
    return (mean := sum(tested) / len(tested), mean) if tested else None


def _possible(runs: Sequence[Path], finals: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest episode of the runs: no mean lies beyond them."""
    seen = [*finals]
    columns = (("eval", "min_reward"), ("eval", "max_reward"), ("test", "reward"), ("episodes", "reward"))
    for run in runs:
        for table, column in columns:
            rewards = read_csv(run / "results" / f"{table}.csv").get(column, [])
            seen += [reward for reward in rewards if math.isfinite(reward)]
    return min(seen), max(seen)

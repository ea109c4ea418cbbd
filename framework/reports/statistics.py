"""Statistics of a few scores (of seeds or episodes). scipy is imported late because it is slow to import."""

import math
import statistics
from collections.abc import Sequence


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% confidence interval of the mean (Student's t): mean -+ t_{n-1} s / sqrt(n).

    The mean itself, twice, for a single value and where all are equal.
    """
    mean = statistics.fmean(values)
    if not _differ(values):
        return mean, mean
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.975)) * standard_error(values)
    return mean - half, mean + half


def cut(interval: tuple[float, float], possible: tuple[float, float]) -> tuple[float, float]:
    """An interval clipped to the `possible` range: Student's t knows no highest score."""
    low, high = (min(max(end, possible[0]), possible[1]) for end in interval)
    return low, high


def p_below(values: Sequence[float], bound: float) -> float | None:
    """Student's one-sided t-test: the chance of a mean this low if the true one were `bound`.

    None for a single value and where all are equal: they say nothing about chance.
    """
    if not _differ(values):
        return None
    from scipy.special import stdtr

    return float(stdtr(len(values) - 1, (statistics.fmean(values) - bound) / standard_error(values)))


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean of at least two values: s / sqrt(n), with n - 1 degrees of freedom in s."""
    return statistics.stdev(values) / math.sqrt(len(values))


def _differ(values: Sequence[float]) -> bool:
    return len(values) > 1 and min(values) < max(values)

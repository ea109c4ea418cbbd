"""The judgement of mode=verify: whether training seeds reach a published score."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from framework.settings.schema import ExpectedScore

TEST_EPISODES = 100  # that each seed's model is tested over
ALPHA = 0.05


@dataclass(frozen=True)
class Verdict:
    """A preset's score over training seeds, and whether it holds."""

    mean: float
    low: float  # 95% interval of the mean (Student's t); the mean itself where the seeds do not differ
    high: float
    bar: float
    p_value: float | None  # chance of a mean this low if the true one were the bar; None where the seeds do not differ
    holds: bool


def judge(scores: Sequence[float], expected: ExpectedScore) -> Verdict:
    """Whether the mean over seeds is not significantly below the published score: a one-sided t-test at 5%.

    The bar is the published mean less std / sqrt(100), the standard error that a mean over 100 episodes has by itself.
    Where all scores are equal, or there is but one, the mean is compared with the bar.
    """
    assert expected.mean_reward is not None
    bar = expected.mean_reward - (expected.std or 0.0) / math.sqrt(TEST_EPISODES)
    n, mean = len(scores), statistics.fmean(scores)
    if n < 2 or min(scores) == max(scores):
        return Verdict(mean, mean, mean, bar, None, mean >= bar)
    from scipy.special import stdtr, stdtrit

    error = statistics.stdev(scores) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.975)) * error
    p_value = float(stdtr(n - 1, (mean - bar) / error))
    return Verdict(mean, mean - half, mean + half, bar, p_value, p_value >= ALPHA)


def shown(score: float) -> str:
    """A score with the decimals that matter: 498.5, 7.93, 0.741."""
    return f"{score:.{1 if abs(score) >= 10 else 2 if abs(score) >= 2 else 3}f}"


def in_words(verdict: Verdict, means: Sequence[float], expected: ExpectedScore) -> str:
    """The verdict over these seeds' means, as a line."""
    chance = "" if verdict.p_value is None else f", p = {verdict.p_value:.3f}"
    below = sum(mean < verdict.bar for mean in means)
    return (
        f"{'holds' if verdict.holds else 'does not hold'}: {shown(verdict.mean)} (95% interval {shown(verdict.low)} to"
        f" {shown(verdict.high)}) against {expected.mean_reward:g}, with tolerance {shown(verdict.bar)}{chance};"
        f" {below} of {len(means)} seeds are below that"
    )

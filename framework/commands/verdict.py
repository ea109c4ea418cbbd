"""The verdict of mode=verify: whether the training seeds reach the preset's reference score; and its file."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from framework.reports.statistics import mean_interval, p_below
from framework.runs.files import atomic_write
from framework.settings.schema import ExpectedScore

ROUNDING = 1e-9  # of scores, relative to them
TEST_EPISODES = 100  # test episodes per seed
SCORE = "results/score.json"  # in the folder of a seed that is done
NOTE = "verify.json"  # in the folder of a verification: what is verified
RESULT = "result.json"  # there too, once it is finished
ALPHA = 0.05


@dataclass(frozen=True)
class Verdict:
    """A preset's score over training seeds, and whether it passes."""

    mean: float
    low: float  # 95% interval of the mean (Student's t); the mean itself where the seeds do not differ
    high: float
    threshold: float
    p_value: float | None  # of a mean this low, were the threshold the true one; None if the seeds do not differ
    passes: bool
    inconclusive: bool = False  # it does not fail the test, but seeds that differ so much prove nothing

    @property
    def answer(self) -> str:
        """The verdict in one to three words."""
        return "passes" if self.passes else "inconclusive" if self.inconclusive else "does not pass"


@dataclass(frozen=True)
class Result:
    """What a verification found: RESULT in its folder, and a row of docs/results.md."""

    preset: str
    verdict: Verdict
    scores: list[float]  # of each training seed
    env_steps: float  # per seed
    seconds: float  # of training, per seed
    commit: str
    machine: str
    finished: str  # local time, ISO 8601

    @property
    def date(self) -> str:
        """The day on which it was finished, YYYY-MM-DD."""
        return self.finished[:10]

    def write(self, folder: Path) -> Path:
        """Write RESULT in a verification's folder; its path."""
        path = folder / RESULT
        atomic_write(path, (json.dumps(asdict(self), indent=2) + "\n").encode())
        return path

    @classmethod
    def read(cls, folder: Path) -> "Result | None":
        """The result in a verification's folder, or None for one that is not finished."""
        path = folder / RESULT
        if not path.exists():
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**data, "verdict": Verdict(**data["verdict"])})


def judge(scores: Sequence[float], expected: ExpectedScore) -> Verdict:
    """Whether the mean over seeds is not significantly below the reference score: a one-sided t-test at 5%.

    The threshold is the reference mean minus std / sqrt(100), the standard error of a mean over 100 episodes. If all
    scores are equal, or there is only one, the mean is compared with the threshold. The verdict is inconclusive instead
    of a pass if a seed is below the threshold and the interval starts below it by more than the size of the reference.
    """
    assert expected.mean_reward is not None
    threshold = expected.mean_reward - (expected.std or 0.0) / math.sqrt(TEST_EPISODES)
    mean, (low, high), p_value = statistics.fmean(scores), mean_interval(scores), p_below(scores, threshold)
    same = math.isclose(mean, threshold, rel_tol=ROUNDING)  # sums of decimal rewards end in other last digits
    above = same or (mean >= threshold if p_value is None else p_value >= ALPHA)
    size = max(abs(expected.mean_reward), expected.std or 0.0) or math.inf
    proves = threshold - low <= size or min(scores) >= threshold
    return Verdict(mean, low, high, threshold, p_value, above and proves, above and not proves)


def shown(score: float) -> str:
    """A score with the decimals that matter: 498.5, 7.93, 0.741."""
    return f"{score:.{1 if abs(score) >= 10 else 2 if abs(score) >= 2 else 3}f}"


def in_words(verdict: Verdict, means: Sequence[float], expected: ExpectedScore) -> str:
    """The verdict on the means of the seeds, as one line."""
    answer = verdict.answer + (" (the seeds differ too much to prove anything)" if verdict.inconclusive else "")
    chance = "" if verdict.p_value is None else f", p = {verdict.p_value:.3f}"
    below = sum(mean < verdict.threshold for mean in means)
    return (
        f"{answer}: {shown(verdict.mean)} (95% interval {shown(verdict.low)} to {shown(verdict.high)}) against"
        f" {expected.mean_reward:g}, threshold {shown(verdict.threshold)}{chance}; {below} of {len(means)} seeds are"
        " below that"
    )

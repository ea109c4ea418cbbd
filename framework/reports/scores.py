"""Scores of evaluations in words and on the scale of a dataset's references."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

from framework.reports.curves import clock_of
from framework.reports.tables import read_csv
from framework.runs.run_folder import RunFolder

LAST = 10  # evaluations of which a mean is told


class Reference(NamedTuple):
    """The returns of random actions and of an expert."""

    low: float
    high: float

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Reference | None":
        """From `ref_min_score` and `ref_max_score` of a dataset, if it has both and they differ."""
        low, high = facts.get("ref_min_score"), facts.get("ref_max_score")
        return None if low is None or high is None or low == high else cls(float(low), float(high))

    def normalized(self, score: float) -> float:
        """0 for random actions, 100 for the expert (Fu et al., "D4RL", 2020)."""
        return 100 * (score - self.low) / (self.high - self.low)


def last_scores(folder: RunFolder) -> dict[str, float]:
    """Of a run's finite evaluations: the last, the mean of the last ten, and the best; empty if there are none."""
    return _named([score for _, score in _evaluations(folder)[1]])


def scores_in_words(folder: RunFolder) -> str:
    """`last_scores` in a line, with the moment of the best, of equals the last; "" if there are none."""
    clock, found = _evaluations(folder)
    scores = _named([score for _, score in found])
    if not scores:
        return ""
    at = max(time for time, score in found if score == scores["best"])
    where = f"at {'update' if clock == 'update_step' else 'step'} {at:,.0f}"
    return "evaluations: " + ", ".join(f"{name} {score:.2f}" for name, score in scores.items()) + f" ({where})"


def _named(scores: Sequence[float]) -> dict[str, float]:
    if not scores:
        return {}
    some = scores[-LAST:]
    return {"last": scores[-1], f"mean of the last {len(some)}": sum(some) / len(some), "best": max(scores)}


def _evaluations(folder: RunFolder) -> tuple[str, list[tuple[float, float]]]:
    """The run's clock, and the moment and score of each finite evaluation."""
    table = read_csv(folder.path / "results" / "eval.csv")
    clock = clock_of(table)
    pairs = zip(table.get(clock, []), table.get("mean_reward", []), strict=False)
    return clock, [(time, score) for time, score in pairs if isfinite(score)]

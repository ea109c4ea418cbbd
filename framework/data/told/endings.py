"""What an environment tells at the end of an episode: success, the return before wrappers changed it, other values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from algos.common.errors import UserError
from envs.raw_return import RAW

SUCCESS, ALSO_SUCCESS = "is_success", "success"
TOLD = (SUCCESS, ALSO_SUCCESS, RAW)
LONGEST_TEXT = 80  # of a value that is no number


@dataclass
class Ending:
    """None, or no entry, where the environment does not tell it.

    `infos` by the keys of `general_cfg.info_keywords`; where one of those is missing, `known` are the keys there are.
    """

    success: bool | None = None
    raw_reward: float | None = None
    infos: dict[str, float | str] = field(default_factory=dict)
    known: tuple[str, ...] = ()

    def cells(self) -> dict[str, float | str]:
        """By the names of the columns of episodes.csv and test.csv."""
        cells: dict[str, float | str] = {} if self.success is None else {"success": int(self.success)}
        if self.raw_reward is not None:
            cells["raw_reward"] = self.raw_reward
        return cells | {f"env/{name}": value for name, value in self.infos.items()}


def ending_of(info: Mapping[str, Any], keywords: Sequence[str], known: Sequence[str] = ()) -> Ending:
    """What the info of an episode's last step tells; `keywords` with slashes lead into mappings.

    UserError where `is_success` is no number; `success` is a name that others give other things, too.
    """
    success = _number(info.get(SUCCESS))
    if success is None and info.get(SUCCESS) is not None:
        raise UserError(f"info[{SUCCESS}]: expected numbers, got {info[SUCCESS]!r:.80}")
    if success is None:
        success = _number(info.get(ALSO_SUCCESS))
    values = {name: entry(info, name) for name in keywords}
    told = {name: _cell(value) for name, value in values.items() if value is not None}
    lacks = len(told) < len(keywords)
    return Ending(
        None if success is None else bool(success), _number(info.get(RAW)), told, tuple(known) if lacks else ()
    )


def _cell(value: Any) -> float | str:
    """A number, or else a short text on one line."""
    number = _number(value)
    return " ".join(str(value).split())[:LONGEST_TEXT] if number is None else number


def entry(info: Any, name: str) -> Any:
    """The value of a name, or of one with slashes that lead into mappings; None if there is none."""
    if isinstance(info, Mapping) and name in info:
        return info[name]
    first, slash, rest = name.partition("/")
    return entry(info[first], rest) if slash and isinstance(info, Mapping) and first in info else None


def means_of_endings(endings: Sequence[Ending]) -> dict[str, float]:
    """Over the episodes that tell them: `success_rate`, `mean_raw_reward` and `env/<key>` of numbers."""
    columns: dict[str, list[float]] = {}
    for ending in endings:
        for name, value in ending.cells().items():
            if not isinstance(value, str):
                columns.setdefault(MEANS.get(name, name), []).append(value)
    return {name: sum(values) / len(values) for name, values in columns.items()}


SAMPLED_SUCCESS = "sampled_success_rate"  # of an evaluation with sampled actions
INTERVENED_STEPS = "intervened_steps"  # of an evaluation, in which somebody helped the policy
APART = 0.2  # success rates that part by more are warned about
MEANS = {"success": "success_rate", "raw_reward": "mean_raw_reward"}  # what the mean of a column is called


def in_words(means: Mapping[str, float]) -> str:
    """Success rate, mean raw return, held-out accuracy, normalised score and help as the end of a line, as far as they
    are there."""
    raw = f", raw {means['mean_raw_reward']:.2f}" if "mean_raw_reward" in means else ""
    share = f", success rate {means['success_rate']:.0%}" if "success_rate" in means else ""
    sampled = f" ({means[SAMPLED_SUCCESS]:.0%} with sampled actions)" if SAMPLED_SUCCESS in means else ""
    sampled += f", held-out accuracy {means['held_out_accuracy']:.1%}" if "held_out_accuracy" in means else ""
    scaled = f", normalized {means['normalized']:.1f}" if "normalized" in means else ""
    helped = f", {means[INTERVENED_STEPS]:,.0f} steps intervened" if INTERVENED_STEPS in means else ""
    return raw + share + sampled + scaled + helped


def rates_apart(training: float | None, evaluation: Mapping[str, float]) -> str:
    """Success rates in words where the evaluation's falls behind another by more than APART; else empty.

    `training`: of the policy's own episodes.
    """
    greedy, sampled = evaluation.get("success_rate"), evaluation.get(SAMPLED_SUCCESS)
    if greedy is None:
        return ""
    others = {"in training": training, "with sampled actions": sampled}
    ahead = [f"{rate:.0%} {words}" for words, rate in others.items() if rate is not None and rate - greedy > APART]
    return f"{greedy:.0%} in this evaluation, {', '.join(ahead)}" if ahead else ""


def _number(value: Any) -> float | None:
    """A single number, also in an array; None for anything else, NaN included."""
    if isinstance(value, str | bytes | Mapping) or value is None:
        return None
    try:
        array = np.asarray(value)
        number = float(array.reshape(())) if array.size == 1 else None
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if number is None or np.isnan(number) else number

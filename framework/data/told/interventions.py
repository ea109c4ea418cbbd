"""Steps in which somebody else than the policy acted: what an environment tells of them, and how they are counted.

`info["intervene_action"]` is the action that the environment in fact executed, in its own units, where it was not the
policy's (torch-free).
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.forms import check_like
from envs.actions import PLAIN, as_action

EXECUTED = "intervene_action"
WHERE = f"info[{EXECUTED}]"
RATE, LENGTH, TAKEOVERS = (f"intervention/{name}" for name in ("rate", "length", "takeovers"))
RECENT_RATE, OWN_SUCCESS = "intervention/recent_rate", "intervention/own_success_rate"
LATELY = 20  # episodes of the recent rate
Sums = dict[str, tuple[float, int]]  # name -> (sum, count)


def executed(info: Mapping[str, Any], done: np.ndarray, space: spaces.Space[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The actions [N, ...] of a step's info that were not the policy's, and a mask [N] of the rows where they were.

    Of a step that ended an episode (`done` [N]) and was followed by a reset at once, `final_info` tells it. Raises
    UserError for what is no action of `space`.
    """
    found, mask = np.zeros((len(done), *(space.shape or ())), space.dtype), np.zeros(len(done), dtype=bool)
    final, rows = info.get("final_info"), np.ones(len(done), dtype=bool)
    if isinstance(final, dict):
        ended = mask_of(info, "final_info", len(done)) & done
        _take(final, ended, space, found, mask)
        rows = ~ended
    _take(info, rows, space, found, mask)
    return found, mask


def _take(info: Mapping[str, Any], rows: np.ndarray, space: Any, found: np.ndarray, mask: np.ndarray) -> None:
    """Write what an info tells for the environments `rows` [N] into `found` and `mask`."""
    told, n = info.get(EXECUTED), len(rows)
    if told is None or not rows.any():
        return
    if not isinstance(space, PLAIN):
        raise UserError(f"{WHERE}: interventions in actions of {space} are not supported")
    if isinstance(told, Mapping):
        # without a vector's masks
        keys = [str(key) for key in told if f"_{key}" in told or not str(key).startswith("_")]
        raise UserError(f"{WHERE}: expected an action of {space}, got a dict with the keys {', '.join(keys)}")
    here = rows & mask_of(info, EXECUTED, n)
    values = told
    if n == 1 and not (_is_row(told, space) or (f"_{EXECUTED}" in info and np.shape(told)[:1] == (1,))):
        values = [told]  # as an environment alone tells it
    elif not isinstance(told, np.ndarray | list | tuple) or len(told) != n:
        raise UserError(f"{WHERE}: expected an action for each of {n} environments, got {told!r:.80}")
    for row in np.flatnonzero(here):
        if values[row] is not None:
            where = WHERE if n == 1 else f"{WHERE}, row {row}"
            found[row], mask[row] = as_action(values[row], space, where), True


def _is_row(told: Any, space: Any) -> bool:
    """Whether it is a column of one action, or of none."""
    if isinstance(told, list | tuple):
        told = np.array([*told, None], object)[:-1]  # of any lengths
    return isinstance(told, np.ndarray) and told.shape[:1] == (1,) and _shape(told[0]) in (space.shape, None)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Its shape; None of None, or of lists of several lengths."""
    try:
        return None if value is None else np.shape(value)
    except ValueError:
        return None


def mask_of(info: Mapping[str, Any], name: str, n: int) -> np.ndarray:
    """Which environments [N] tell `name`: all, where no mask says otherwise."""
    mask = info.get(f"_{name}")
    return np.ones(n, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)


class Takeovers:
    """Counts the intervened steps of `n` environments: those of the running episodes, and those without a gap.

    A run of intervened steps ends with its episode.
    """

    def __init__(self, n: int):
        self.steps = np.zeros(n, dtype=np.int64)  # of the running episode
        self.run = np.zeros(n, dtype=np.int64)  # of the run that goes on

    def count(self, mask: np.ndarray, done: np.ndarray, sums: Sums) -> None:
        """Take in a step, [N]: where somebody else acted, and which episodes it ended; adds to `sums`."""
        begun = np.count_nonzero(mask & (self.run == 0))
        self.steps += mask
        self.run += mask
        over = (self.run > 0) & (done | ~mask)
        ended, length = np.count_nonzero(over), int(self.run[over].sum())
        self.run[over] = 0
        for name, more, n in ((RATE, np.count_nonzero(mask), 1), (TAKEOVERS, begun, 1), (LENGTH, length, ended)):
            total, before = sums.get(name, (0.0, 0))
            if n:
                sums[name] = (total + more, before + n)

    def state_dict(self) -> dict[str, Any]:
        """Both counts."""
        return {"steps": self.steps.copy(), "run": self.run.copy()}

    @classmethod
    def restored(cls, state: dict[str, Any], n: int) -> "Takeovers":
        """What `state_dict` was taken of."""
        new = cls(n)
        for name in ("steps", "run"):
            check_like(getattr(new, name), state[name], name)
            setattr(new, name, state[name])
        return new


def told_means(sums: Sums, env_steps: int) -> dict[str, float]:
    """What environments told during so many env steps: means, the number of takeovers, and the rate of intervention."""
    means = {name: total / count for name, (total, count) in sums.items()}
    if RATE in sums:
        means[RATE], means[TAKEOVERS] = sums[RATE][0] / max(1, env_steps), sums[TAKEOVERS][0]
    return means


class RecentInterventions:
    """Over the last episodes: the share of intervened steps, and the success of those without any.

    Nothing is told before the first intervention.
    """

    def __init__(self, window: int, state: dict[str, Any] | None = None):
        """`window`: episodes of the success rate; `state` is what `state_dict` gave."""
        state = state or {}
        self.shares: deque[tuple[int, int]] = deque(map(tuple, state.get("shares", ())), maxlen=LATELY)
        self.own: deque[int] = deque(state.get("own", ()), maxlen=window)
        self.seen = bool(state.get("seen", False))

    def add(self, intervened: int, length: int, success: bool | None) -> None:
        """Count an episode with so many intervened steps."""
        self.seen = self.seen or intervened > 0
        self.shares.append((intervened, length))
        if not intervened and success is not None:
            self.own.append(int(success))

    def means(self) -> dict[str, float]:
        """By the names of the metrics."""
        if not self.seen:
            return {}
        steps = sum(length for _, length in self.shares)
        means = {RECENT_RATE: sum(intervened for intervened, _ in self.shares) / max(1, steps)}
        return means | ({OWN_SUCCESS: sum(self.own) / len(self.own)} if self.own else {})

    def state_dict(self) -> dict[str, Any]:
        """What the means are of, as plain lists."""
        return {"shares": [list(pair) for pair in self.shares], "own": list(self.own), "seen": self.seen}

"""The guard of what is finite: looks at rows before they are learned from, and at losses (torch-free)."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from algos.common.errors import UserError
from algos.common.masks import MASK, choices_of, is_masked
from algos.common.trees import Tree

LARGEST = float(np.finfo(np.float32).max)  # columns are learned from as float32
QUICK = 1e76  # a sum of squares below it holds no number beyond LARGEST, nan or inf
ONLY_FINITE = "only finite numbers can be learned from; the models saved before are good"


class Guard:
    """Raises UserError for rows with nan, inf or a mask that allows no action: environment, row, step and key.

    `name` is the environment's; `total_envs` env steps are taken while the `n_envs` environments of worker number
    `worker` step once.
    """

    def __init__(self, name: str, action_space: Any, n_envs: int = 1, total_envs: int = 1, worker: int = 0):
        self.name, self.choices = name, choices_of(action_space)
        self.total_envs, self.whose = total_envs, f" of worker {worker}" if total_envs > n_envs else ""

    def check(
        self, obs: Tree, action: Tree, reward: np.ndarray, next_obs: Tree, terminated: np.ndarray, step: int
    ) -> None:
        """Columns [T, N, ...] of steps from global env step `step` on."""
        masked = bool(self.choices) and is_masked(obs)
        quick = _plain(reward) and _all_plain(action) and _all_plain(obs) and _all_plain(next_obs)
        if quick and not (masked and (self._none(obs[MASK]).any() or (self._none(next_obs[MASK]) & ~terminated).any())):
            return
        found: list[tuple[int, int, str]] = []  # step in the columns, row, what is wrong there
        for name, column in _named(obs, "observation"):
            found += _first(column, f"returned {{}} in its {name}")
        for _, column in _named(action, "action"):
            found += _first(column, "was to take the action {} of a policy whose weights are not finite")
        found += _first(reward, "returned {} as reward")
        for name, column in _named(next_obs, "observation"):
            found += _first(column, f"returned {{}} in its {name}")
        if masked:
            found += self._no_action(self._none(obs[MASK]))
            found += self._no_action(self._none(next_obs[MASK]) & ~terminated)
        self._tell(found, step)

    def check_obs(self, obs: Tree, step: int) -> None:
        """Observations [N, ...] that are about to be acted on."""
        found: list[tuple[int, int, str]] = []
        for name, column in _named(obs, "observation"):
            found += _first(column[None], f"returned {{}} in its {name}")
        if self.choices and is_masked(obs):
            found += self._no_action(self._none(obs[MASK][None]))
        self._tell(found, step - self.total_envs)

    def place(self, row: int | None, step: int) -> str:
        """Where something happened, in words."""
        where = "" if row is None else f"row {row}{self.whose}, "
        return f"{where or self.whose.removeprefix(' of ')}{', ' * bool(not where and self.whose)}env step {step:,}"

    def _none(self, mask: np.ndarray) -> np.ndarray:
        """Where [T, N] a mask [T, N, A] leaves a choice without an action."""
        parts = [mask] if len(self.choices) == 1 else np.split(mask, np.cumsum(self.choices)[:-1], axis=-1)
        none: np.ndarray = np.logical_or.reduce([~np.asarray(part.any(-1)) for part in parts])
        return none

    def _no_action(self, none: np.ndarray) -> list[tuple[int, int, str]]:
        """The first of the rows [T, N] without an action."""
        if not none.any():
            return []
        t, row = (int(i) for i in np.argwhere(none)[0])
        return [(t, row, f"allows no action in its {MASK!r}")]

    def _tell(self, found: list[tuple[int, int, str]], step: int) -> None:
        if found:
            t, row, what = min(found, key=lambda one: one[:2])
            place = self.place(row, step + (t + 1) * self.total_envs)
            advice = "allow one, or end the episode" if MASK in what else ONLY_FINITE
            raise UserError(f"environment {self.name} {what} ({place}): {advice}")


def check_losses(metrics: Mapping[str, Any], update_step: int) -> None:
    """Raise UserError for a loss that is nan or inf: the weights are, too, or will be with the next update.

    Tensors are passed over, as looking would wait for their device: they are looked at as means of a row.
    """
    for name, value in metrics.items():
        if type(value) is float and not math.isfinite(value) and "loss" in name:
            raise UserError(
                f"{name} is {value:g} at update {update_step:,}: the run has diverged and stops; the models saved"
                " before are good. A smaller learning rate, algo_cfg.max_grad_norm or smaller rewards may help"
            )


def check_asked(obs: Tree) -> None:
    """Raise UserError for observations [N, ...] of the user's own from which no action follows."""
    for name, column in () if _all_plain(obs) else _named(obs, "the observation"):
        for _, row, what in _first(column[None], f"{name} holds {{}}"):
            where = f" in row {row}" if len(column) > 1 else ""
            raise UserError(f"{what}{where}: actions follow from finite numbers alone")


def _first(column: np.ndarray, text: str) -> list[tuple[int, int, str]]:
    """The first number of a column [T, N, ...] that is not finite as float32."""
    if column.dtype.kind != "f" or _plain(column):
        return []
    rows = column.reshape(*column.shape[:2], -1)
    bad = ~(np.abs(rows) <= LARGEST)
    if not bad.any():
        return []
    t, row, place = (int(i) for i in np.argwhere(bad)[0])
    value = float(rows[t, row, place])
    return [(t, row, text.format(f"{value:g}" if not math.isfinite(value) else f"{value:g} (more than float32)"))]


def _plain(column: np.ndarray) -> bool:
    """Whether a quick look (less than half a microsecond) finds nothing; False may be a false alarm."""
    return column.dtype.kind != "f" or float(np.vdot(column, column)) < QUICK


def _all_plain(obs: Tree) -> bool:
    if isinstance(obs, np.ndarray):
        return _plain(obs)
    return all(_all_plain(part) for part in (obs.values() if isinstance(obs, dict) else obs))


def _named(obs: Tree, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of an observation, each with the keys that lead to it."""
    if isinstance(obs, np.ndarray):
        yield name, obs
        return
    for key, part in obs.items() if isinstance(obs, dict) else enumerate(obs):
        yield from _named(part, f"{name}[{key!r}]")

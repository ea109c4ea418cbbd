"""Which episodes of a dataset end in success, by their rewards or by the setting that names them; a share held out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from algos.common.errors import UserError
from algos.common.trees import tree_map
from algos.data import Batch
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset
from framework.datasets.load import load_dataset
from framework.datasets.words import sources_of

BY_REWARDS, SUCCESS, FAILURE = KEYS = ("dataset", "success_paths", "failure_paths")


def dataset_of(algo_cfg: Any, tasks_dir: str) -> Dataset:
    """What an algorithm learns from: `dataset`, and where its settings have them the files of known verdicts too."""
    return _judged(algo_cfg, tasks_dir) if hasattr(algo_cfg, SUCCESS) else load_dataset(algo_cfg.dataset, tasks_dir)


def _judged(algo_cfg: Any, tasks_dir: str) -> Dataset:
    """Episodes whose last step, and no other, terminates with a reward above 0 if they are a success.

    Raises UserError if there are no files, if two settings name one, or if there is nothing to tell apart.
    """
    words: list[str] = []
    role: dict[Path, str] = {}
    for key in KEYS:
        value = getattr(algo_cfg, key)
        if not value:
            continue
        for source in sources_of(value, tasks_dir, f"algo_cfg.{key}"):
            if role.setdefault(source.file.resolve(), key) != key:
                other = role[source.file.resolve()]
                raise UserError(f"algo_cfg.{key}: {source.file} is in algo_cfg.{other} too; an episode has one verdict")
        words += [value] if isinstance(value, str) else list(value)
    if not words:
        raise UserError("algo_cfg.dataset names no data: give episodes there, or in success_paths and failure_paths")
    dataset = load_dataset(words, tasks_dir)
    start = 0
    for file, end in zip(dataset.sources, dataset.ends, strict=True):
        _mark(dataset, start, end, role[file.resolve()])
        start = end
    success = dataset.successes()
    if not success.any():
        raise UserError(
            f"algo_cfg.dataset={words}: no episode ends in success (terminated, with a reward above 0); name some that"
            " do in algo_cfg.success_paths"
        )
    if success.all():
        raise UserError(
            f"algo_cfg.dataset={words}: every step ends in success, so there is nothing to tell it from; name others in"
            " algo_cfg.failure_paths"
        )
    return dataset


def _mark(dataset: Dataset, start: int, end: int, role: str) -> None:
    """Write the verdict that a setting gives the episodes `start` to `end` into their rewards."""
    if role == BY_REWARDS:
        return
    reward, terminated, truncated = (dataset.columns[name] for name in ("reward", "terminated", "truncated"))
    first, last = dataset.first[start:end], dataset.first[start + 1 : end + 1] - 1
    if len(first):
        reward[first[0] : last[-1] + 1] = 0
    if role == SUCCESS:
        reward[last], terminated[last], truncated[last] = 1, True, False


def held_out(dataset: Dataset, share: float, seed: int) -> np.ndarray:
    """Which episodes [E] are not learned from, bools: the share of those with success, and of the others.

    At least one of each kind of which there are two or more, and never all.
    """
    wins, rng = dataset.successes()[dataset.first[1:] - 1], np.random.default_rng(seed)
    held = np.zeros(dataset.episodes, bool)
    for kind in (True, False):
        members = np.flatnonzero(wins == kind)
        count = min(max(round(share * len(members)), 1), len(members) - 1) if share else 0
        held[rng.permutation(members)[: max(count, 0)]] = True
    return held


class BalancedBuffer(DatasetBuffer):
    """Draws steps of the episodes that are not held out: one half end in success, the other do not."""

    def __init__(self, dataset: Dataset, seed: int, held: np.ndarray):
        super().__init__(dataset, seed)
        learned = ~np.repeat(held, np.diff(dataset.first))
        success = dataset.successes()
        self.kinds = [np.flatnonzero(learned & success), np.flatnonzero(learned & ~success)]
        if not all(len(kind) for kind in self.kinds):
            raise UserError("algo_cfg.holdout leaves no step of success to learn from, or no other: give more episodes")

    def sample(self, n: int, step: int) -> Batch:
        counts = (n // 2, n - n // 2)
        index = [kind[self.rng.integers(len(kind), size=count)] for kind, count in zip(self.kinds, counts, strict=True)]
        return self.rows(np.concatenate(index), step)


@dataclass(frozen=True)
class HeldOut:
    """The episodes that are not learned from."""

    dataset: Dataset
    held: np.ndarray

    @property
    def episodes(self) -> list[int]:
        """Their numbers."""
        return [int(number) for number in np.flatnonzero(self.held)]

    def frames(self, episode: int) -> tuple[Any, np.ndarray]:
        """The observations [T, ...] in which its steps end, and which of them are of success [T]."""
        first, last = self.dataset.first[episode], self.dataset.first[episode + 1]
        obs = tree_map(lambda leaf: leaf[first + episode + 1 : last + episode + 1], self.dataset.columns["obs"])
        return obs, self.dataset.successes()[first:last]

    def has_both(self) -> bool:
        """Whether there are observations of success among them, and others."""
        of_held = self.dataset.successes()[np.repeat(self.held, np.diff(self.dataset.first))]
        return bool(of_held.any() and not of_held.all())

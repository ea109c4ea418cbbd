"""Demonstrations beside replay: those that are given, and the steps in which somebody intervened."""

from typing import Any, Protocol

import numpy as np

from algos.common.errors import UserError
from algos.data import Batch
from framework.data.buffers import ReplayBuffer, Sampler, joined
from framework.data.rollout import Rollout


class Given(Protocol):
    """Demonstrations from files: `size` rows, and the hash of their contents."""

    @property
    def size(self) -> int: ...

    def rows(self, index: np.ndarray, step: int) -> Batch: ...

    def sha256(self) -> str: ...


class DemoBuffer(Sampler):
    """Given demonstrations, if any, and the last `capacity` steps in which somebody else than the policy acted.

    Rows are drawn uniformly, none twice in a batch. Where a batch has more rows than there are, each comes as often as
    the others, or once more. `told` of a batch has `demo/size`, and `demo/reuse`: how often a row is in it on average.
    """

    def __init__(self, given: Given | None, capacity: int, seed: int):
        self.given, self.added = given, ReplayBuffer(capacity, seed)
        self.n_given = 0 if given is None else given.size
        self.rng = np.random.default_rng(seed)

    @property
    def size(self) -> int:
        """Rows to draw from."""
        return self.n_given + self.added.size

    def add(self, rollout: Rollout) -> None:
        """Store the intervened steps of a rollout."""
        if rollout.intervened is not None:
            self.added.add(rollout.only(rollout.intervened))

    def sample(self, n: int, step: int) -> Batch:
        """A batch of `n` rows; there must be some to draw from."""
        rounds, rest = divmod(n, self.size)
        again = np.tile(np.arange(self.size), rounds)
        index = np.concatenate([again, self.rng.choice(self.size, rest, replace=False, shuffle=False)])
        mine = index < self.n_given
        parts = []
        if self.given is not None and mine.any():
            parts.append(self.given.rows(index[mine], step))
        if not mine.all():
            parts.append(self.added.rows(index[~mine] - self.n_given, step))
        batch = parts[0] if len(parts) == 1 else joined(*parts)
        batch.told = {"demo/size": float(self.size), "demo/reuse": max(1.0, n / self.size)}
        return batch

    def state_dict(self) -> dict[str, Any]:
        """What was added, and the random stream; the given demonstrations stay where they are."""
        given = None if self.given is None else self.given.sha256()
        return {"rng": self.rng.bit_generator.state, "given": given, "added": self.added.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; UserError where others are given than the run began with."""
        if state["given"] != (None if self.given is None else self.given.sha256()):
            raise UserError("algo_cfg.demo_paths: the contents are not those that the run began with")
        self.rng.bit_generator.state = state["rng"]
        self.added.load_state_dict(state["added"])

"""Pacing of asynchronous collection: which worker collects how much, with which weights, and when it waits."""

import math
from dataclasses import dataclass
from typing import Any

from algos.data import DataSpec

CALLS = 10  # a rollout should take as long as this many remote calls; a call to the learner that takes less is short
UPDATE_CALLS = 500  # and a call to the learner as this many: the learner is often what all others wait for
BATCHES = 32  # that one call to the learner may carry at most


@dataclass
class CollectRequest:
    """What a worker is to collect: `n_steps` steps from global step `step`, with weights of `version`."""

    n_steps: int
    step: int
    group: int  # rollouts of one group are learned together
    version: int
    weights: Any


class Pacing:
    """Hands out requests. `owed` counts updates due and not yet begun, `sent` the env steps requested.

    Rollouts for an on-policy algorithm come in groups of `n_workers`, collected with one version of weights, while the
    group before is learned: no group begins before all but the last one are learned. Where it learns from each worker
    by itself (A3C), groups are of one, and one more than there are workers may be under way or unlearned. Replay's
    rollouts are groups of one; they are held back while more updates are owed than a rollout of every worker makes due,
    and more than a call to the learner takes.
    """

    def __init__(self, spec: DataSpec, n_workers: int, n_envs: int, call_seconds: float):
        self.spec, self.n_workers, self.n_envs, self.call_seconds = spec, n_workers, n_envs, call_seconds
        self.on_policy = spec.on_policy and not spec.whole_episodes
        self.fixed = spec.fixed_length  # every rollout has n_steps steps
        self.in_groups = self.on_policy and not spec.by_worker
        self.size = n_workers if self.in_groups else 1
        self.base = spec.rollout_length(n_envs)
        self.rollout_length = self.base
        self.updates_per_step = spec.round_updates / spec.train_freq if spec.replayed else 0.0
        self.step_seconds = self.update_seconds = 0.0  # of a vector step, of an update; 0: not known
        self.settling = False  # what is under way is to arrive, nothing new begins
        self.restart(0)

    def restart(self, env_step: int) -> None:
        """Nothing is under way."""
        self.sent, self.owed, self.learned = env_step, 0, 0
        self.group, self.places = -1, 0  # the newest group, and the requests it still lacks
        self.next_group = 0  # on-policy: the next to be learned, in their order
        self.current: CollectRequest | None = None

    def request(self, version: int, weights: Any, left: int | None) -> CollectRequest | None:
        """The next request, or None where nobody is to collect now.

        `left`: env steps until the limit that were not requested yet (None: no limit). While a run settles only groups
        that have begun are completed.
        """
        if self.places == 0:
            if self.settling or self._held_back() or (left is not None and left <= 0):
                return None
            n_steps = self.rollout_length
            if left is not None:
                n_steps = min(n_steps, -(-left // (self.size * self.n_envs)))
            self.group, self.places = self.group + 1, self.size
            self.current = CollectRequest(n_steps, self.sent, self.group, version, weights)
            self.sent += n_steps * self.n_envs * self.size
        self.places -= 1
        return self.current

    def _held_back(self) -> bool:
        if self.on_policy:
            return self.group + 1 - self.learned > (1 if self.in_groups else self.n_workers)
        by_a_round = self.updates_per_step * self.rollout_length * self.n_envs * self.n_workers
        return self.owed > max(by_a_round, self.batches())

    def batches(self) -> int:
        """Batches that one call to the learner should carry: as many as make the call worth its cost."""
        if not self.update_seconds:
            return 1
        return min(BATCHES, max(1, math.ceil(UPDATE_CALLS * self.call_seconds / self.update_seconds)))

    def short(self, updates: int) -> bool:
        """Whether a call of so many updates takes less time than its way, and the next could grow meanwhile."""
        return not self.on_policy and 0 < self.update_seconds * updates < CALLS * self.call_seconds

    def saw_rollout(self, seconds: float, n_steps: int) -> None:
        """Take note of how long a rollout took, and set the length of the next ones (where it is free)."""
        self.step_seconds = smoothed(self.step_seconds, seconds / max(1, n_steps))
        if self.fixed or (self.updates_per_step and not self.update_seconds):
            return
        collecting = self.step_seconds / self.n_workers
        learning = self.updates_per_step * self.n_envs * self.update_seconds
        wanted = CALLS * self.call_seconds / max(collecting, learning, 1e-9)
        self.rollout_length = max(1, round(min(wanted, 10_000) / self.base)) * self.base

    def saw_updates(self, seconds: float, updates: int) -> None:
        """Take note of how long a call to the learner took."""
        self.update_seconds = smoothed(self.update_seconds, seconds / max(1, updates))


def smoothed(old: float, new: float) -> float:
    """A running mean that forgets; the first value counts whole."""
    return 0.8 * old + 0.2 * new if old else new

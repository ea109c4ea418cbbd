"""Rollouts: the NumPy columns that a worker sends to the data server (torch-free)."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from algos.common.trees import Tree, tree_map

TRANSITION = ("obs", "action", "reward", "next_obs", "terminated", "truncated")  # what every row for learning has
COLUMNS = (*TRANSITION, "extras", "reset", "state")  # what a batch may have


@dataclass
class Rollout:
    """T steps of N environments; each column is [T, N, ...], obs and next_obs are trees for Dict observations.

    next_obs is the true next observation, also where an episode ended. `action` is the policy's, `env_action` what
    the environment took (they differ where a Box's bounds clip). `reset` marks steps at which an episode begins,
    `state` is the policy's state before the first step. What one `worker` sends is one stream of steps. `intervened`
    marks steps in which the environment executed another's action, which both columns then have; None: there are none.
    """

    obs: Tree
    action: np.ndarray
    env_action: np.ndarray
    reward: np.ndarray
    next_obs: Tree
    terminated: np.ndarray
    truncated: np.ndarray
    reset: np.ndarray
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    state: Tree = ()
    worker: int = 0
    intervened: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Environment steps in it: T x N."""
        return int(self.reward.size)

    def only(self, mask: np.ndarray) -> "Rollout":
        """The K steps that a mask [T, N] marks, as transitions [K, 1, ...] in the order in which they happened."""
        names = (*TRANSITION, "env_action", "reset")
        columns = {name: tree_map(lambda leaf: leaf[mask][:, None], getattr(self, name)) for name in names}
        return Rollout(**columns, worker=self.worker)

    def interventions(self) -> np.ndarray:
        """`intervened` as a column [T, N], also where there are none."""
        return np.zeros(self.reward.shape, dtype=bool) if self.intervened is None else self.intervened


def stack(rows: list[Tree]) -> Tree:
    """Trees of one form -> that tree, its leaves stacked: rows of one step each -> columns [T, ...], say."""
    first = rows[0]
    if isinstance(first, dict):
        return {key: stack([row[key] for row in rows]) for key in first}
    if isinstance(first, tuple):
        return tuple(stack(list(parts)) for parts in zip(*rows, strict=True))
    return np.stack(rows)


def join_workers(rollouts: list[Rollout]) -> Rollout:
    """One rollout over the environments of all workers: columns joined along N."""
    if len(rollouts) == 1:
        return rollouts[0]
    first = rollouts[0]

    def join(*columns: np.ndarray) -> np.ndarray:
        return np.concatenate(columns, axis=1)

    def columns(name: str) -> list[Any]:
        return [getattr(rollout, name) for rollout in rollouts]

    names = [one.name for one in fields(Rollout) if one.name not in ("state", "worker", "intervened")]
    joined = {name: tree_map(join, *columns(name)) for name in names}
    if any(rollout.intervened is not None for rollout in rollouts):
        joined["intervened"] = join(*(rollout.interventions() for rollout in rollouts))
    state = tree_map(lambda *leaves: np.concatenate(leaves), first.state, *columns("state")[1:])
    return Rollout(**joined, state=state)

"""Base of the tabular algorithms: the index of an observation, the table, the policy that reads it."""

import math
from collections.abc import Iterator
from itertools import cycle
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.base import Algorithm, Policy, counted_from
from algos.common.errors import UserError
from algos.common.masks import MASK, forbid, split_mask, without_mask
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.data import Batch, DataSpec
from algos.tabular.config import TabularConfig

MOST_ENTRIES = 100_000_000  # of a table: 800 MB
Transition = tuple[int, int, int, float, int, bool, bool]  # env, s, a, r, s', terminated, truncated


class StateIndex:
    """Numbers the elements of a finite space from 0 to n - 1; the last part of an observation varies fastest.

    Raises UserError, naming the algorithm `name`, for a space with parts that cannot be counted.
    """

    def __init__(self, space: spaces.Space[Any], name: str):
        self.space, self.name = space, name
        self.shift, self.strides, self.n = self._layout(space, 1)

    def __call__(self, obs: Tree) -> np.ndarray:
        """Observations [..., *shape of the space] -> their numbers [...]."""
        if isinstance(self.space, spaces.Discrete):
            return obs - self.shift if self.shift else obs
        parts = tree_map(lambda leaf, stride: leaf @ stride if np.ndim(stride) else leaf * stride, obs, self.strides)
        number: np.ndarray = sum(tree_leaves(parts)) - self.shift
        return number

    def of_tensors(self, obs: Tree) -> Tensor:
        """The same of tensors [N, *shape of the space]."""
        parts = tree_map(lambda leaf, stride: _weighted(leaf, torch.as_tensor(stride)), obs, self.strides)
        number: Tensor = sum(tree_leaves(parts)) - self.shift
        return number

    def _layout(self, space: spaces.Space[Any], inner: int) -> tuple[int, Tree, int]:
        """(shift, stride of each part, inner x number of members); `inner` is the stride of the last part.

        number = sum of part x stride - shift
        """
        if isinstance(space, spaces.Discrete):
            return int(space.start) * inner, inner, int(space.n) * inner
        if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
            strides = inner * np.cumprod([1, *space.nvec[:0:-1]], dtype=np.int64)[::-1]
            return int(space.start @ strides), strides, inner * math.prod(space.nvec.tolist())
        if isinstance(space, spaces.Dict):
            parts = list(space.spaces.items())
        elif isinstance(space, spaces.Tuple):
            parts = list(enumerate(space.spaces))  # type: ignore[arg-type]
        else:
            raise UserError(
                f"{self.name} keeps a table of states and needs Discrete or MultiDiscrete observations (or a Dict or"
                f" Tuple of them), but the environment has {type(space).__name__}"
            )
        shift, found = 0, {}
        for key, part in reversed(parts):
            part_shift, found[key], inner = self._layout(part, inner)
            shift += part_shift
        return shift, found if isinstance(space, spaces.Dict) else tuple(found[key] for key, _ in parts), inner


def _weighted(part: Tensor, stride: Tensor) -> Tensor:
    """An observation's part [N] or [N, K] times its stride, summed over K."""
    return (part * stride).sum(1) if stride.dim() else part * stride


class Table(nn.Module):
    """Action values Q [S, A], double precision: no gradient ever reaches them."""

    q: Tensor

    def __init__(self, n_states: int, n_actions: int, initial_value: float):
        super().__init__()
        self.register_buffer("q", torch.full((n_states, n_actions), initial_value, dtype=torch.float64))

    @property
    def array(self) -> np.ndarray:
        """The same memory as a NumPy array: reading and writing one entry costs a tenth of a tensor's."""
        return self.q.numpy()


class TablePolicy(Policy):
    """The action of the highest value; exploring, a random one with a probability that follows the global step.

    Of equal values the first action is taken, so that evaluation repeats itself; exploring, any of them, since a new
    table would otherwise send the agent the same way forever.
    """

    net: Table

    def __init__(
        self, net: Table, index: StateIndex, action_space: spaces.Discrete, cfg: TabularConfig, masked: bool = False
    ):
        """`masked`: observations have a mask, which is no part of the state."""
        super().__init__(net)
        self.masked, self.index, self.cfg = masked, index, cfg
        self.first, self.env_type = int(action_space.start), action_space.dtype

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        if self.masked:
            return self._act_masked(obs, explore, step), {}, state
        values = self.net.array[self.index(obs)]
        if not explore:
            return values.argmax(1), {}, state
        rows, n_actions = values.shape
        dice = torch.rand((rows, 1 + n_actions), generator=self.generator).numpy()
        allowed = (values == values.max(1, keepdims=True)) | (dice[:, :1] < self.cfg.epsilon(step))
        return np.where(allowed, dice[:, 1:], -1.0).argmax(1), {}, state

    def _act_masked(self, obs: Tree, explore: bool, step: int) -> np.ndarray:
        """The same among the actions that the mask allows."""
        values = np.where(obs[MASK] != 0, self.net.array[self.index(without_mask(obs))], -np.inf)
        if not explore:
            return values.argmax(1)
        dice = torch.rand((len(values), 1 + values.shape[1]), generator=self.generator).numpy()
        allowed = (values == values.max(1, keepdims=True)) | (dice[:, :1] < self.cfg.epsilon(step))
        return np.where(allowed & (obs[MASK] != 0), dice[:, 1:], -1.0).argmax(1)

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        if self.masked:
            values = forbid(self.net.q[self.index.of_tensors(without_mask(obs))], obs[MASK])
            return values.argmax(1) + self.first, state
        return self.net.q.argmax(1)[self.index.of_tensors(obs)] + self.first, state

    def env_action(self, action: np.ndarray) -> np.ndarray:
        return counted_from(action, self.first, self.env_type)

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        return env_action.astype(np.int64, copy=False) - self.first

    def progress(self, step: int) -> dict[str, float]:
        return {"eps": self.cfg.epsilon(step)}

    def tables(self) -> dict[str, np.ndarray]:
        """Learned tables for figures: `q_value` [S, A]."""
        return {"q_value": self.net.array}


class Tabular(Algorithm):
    """A tabular algorithm. The table is always on the CPU, as it is read entry by entry."""

    action_spaces: ClassVar[tuple[type, ...]] = (spaces.Discrete,)
    policy: TablePolicy

    def __init__(self, cfg: TabularConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **{**kwargs, "device": "cpu"})
        obs_space, self.masked = split_mask(obs_space, action_space)
        self.index = StateIndex(obs_space, type(self).__name__)
        entries = self.index.n * int(action_space.n)
        if entries > MOST_ENTRIES:
            raise UserError(
                f"{type(self).__name__} would need a table of {entries:.2g} entries (states x actions), but at most"
                f" {MOST_ENTRIES:.0e} are allowed; use an algorithm with a network"
            )
        self.table = Table(self.index.n, int(action_space.n), cfg.initial_value)
        self.policy = TablePolicy(self.table, self.index, action_space, cfg, self.masked)
        # the actions that each state allowed when it was last seen, [S, A]
        self.allowed = np.ones(self.table.array.shape, dtype=bool) if self.masked else None

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        """Every transition is used once, in order, immediately."""
        return DataSpec("rollout", n_steps=1)

    def expected_value(self, values: np.ndarray, epsilon: float) -> np.ndarray:
        """sum_a pi(a|s) Q(s, a) = (1 - epsilon) max_a Q(s, a) + epsilon mean_a Q(s, a), of Q(s, .) [..., A]."""
        mean: np.ndarray = (1 - epsilon) * values.max(-1) + epsilon * values.mean(-1)
        return mean

    def values(self, state: int) -> np.ndarray:
        """Q(s, .) of the actions that the state allowed when it was last seen."""
        row = self.table.array[state]
        return row if self.allowed is None else row[self.allowed[state]]

    def states(self, obs: Tree) -> np.ndarray:
        """Numbers of a batch's observations; the masks of these states are remembered."""
        arrays = tree_map(lambda leaf: leaf.numpy(), obs)
        if self.allowed is None:
            return self.index(arrays)
        states = self.index(without_mask(arrays))
        self.allowed[states] = arrays[MASK] != 0
        return states

    def transitions(self, batch: Batch) -> Iterator[Transition]:
        """The transitions of a rollout [T, N] in the order of time."""
        states, next_states = self.states(batch.obs), self.states(batch.next_obs)
        given = (batch.action, batch.reward, batch.terminated, batch.truncated)
        action, reward, terminated, truncated = (column.numpy() for column in given)
        columns = (states, action, reward, next_states, terminated, truncated)
        return zip(cycle(range(states.shape[1])), *(column.ravel().tolist() for column in columns), strict=False)

    def state_dict(self) -> dict[str, Any]:
        masks = {} if self.allowed is None else {"allowed": self.allowed}
        return {"table": self.table.state_dict(), **masks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.table.load_state_dict(state["table"])
        if self.allowed is not None:
            self.allowed[:] = state["allowed"]

"""First parts of networks that are not lists of layers: a user module, or the plain observation."""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from algos.common.trees import Tree, tree_map
from algos.networks.builder import Entry, Network, Stack
from algos.networks.classes import carries_state


class Custom(Entry):
    """A module of the user's as part of a network: its outputs as rows, its observations with floats of 32 bits.

    `module(obs)` or, `with_action`, `module(obs, action)`; with memory `module.unroll(obs, state, reset)`.
    """

    is_initialised = True

    def __init__(self, module: Any, with_action: bool = False):
        super().__init__()
        self.module, self.with_action = module, with_action
        self.recurrent = carries_state(type(module))

    def forward(self, obs: Tree) -> Tensor:
        obs = _single(obs)
        return _rows(self.module(*obs) if self.with_action else self.module(obs))

    def init_state(self, batch_size: int) -> Tree:
        return self.module.init_state(batch_size)

    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        y, state = self.module.unroll(_single(obs), state, reset)
        return _rows(tree_map(lambda leaf: leaf.flatten(0, 1), y)), state


class Chained(Entry):
    """One network behind another."""

    is_initialised = True

    def __init__(self, first: Network, second: Network):
        super().__init__()
        self.first, self.second = first, second
        self.recurrent = first.recurrent or second.recurrent

    def forward(self, obs: Tree) -> Tensor:
        y: Tensor = self.second(self.first(obs))
        return y

    def init_state(self, batch_size: int) -> Tree:
        return self.first.init_state(batch_size), self.second.init_state(batch_size)

    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        x, first = self.first.unroll(obs, state[0], reset)
        y, second = self.second.unroll(x, state[1], reset)
        return y.flatten(0, 1), (first, second)


class Observation(Network):
    """The encoder if there is none: the parts of `space` go to the heads unchanged."""

    def __init__(self, space: spaces.Space[Any]):
        super().__init__(None, Stack([]), 0)
        self.space = space
        self.keys = list(space.spaces) if isinstance(space, spaces.Dict) else None

    def forward(self, obs: Tree) -> Tree:
        return obs if self.keys is None else {key: obs[key] for key in self.keys}

    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tree, Tree]:
        return self(obs), state


def own_log_std(network: Network) -> Tensor | None:
    """The log standard deviations that a class of the user's holds as `log_std`; None if it has none.

    They are looked up at each use: the module may have been lent other weights.
    """
    if not isinstance(network.prepare, Custom):
        return None
    found = getattr(network.prepare.module, "log_std", None)
    return found if isinstance(found, Tensor) else None


def _single(obs: Tree) -> Tree:
    """Observations with all floats of 32 bits, as weights are."""
    if isinstance(obs, Tensor):
        return obs.float() if obs.dtype == torch.float64 else obs
    return tree_map(_single, obs)


def _rows(y: Any) -> Tensor:
    """Outputs as [N, out]: of a tensor [N] or [N, ...], or of several joined."""
    if isinstance(y, tuple):
        return torch.cat([_rows(part) for part in y], dim=1)
    if not isinstance(y, Tensor):
        raise TypeError(f"forward returned a {type(y).__name__}, expected a tensor")
    return y.unsqueeze(1) if y.dim() == 1 else y.flatten(1)  # not by len, which an export takes for a constant

"""A policy as one module with named tensor inputs and outputs."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.base import Policy
from algos.common.trees import Tree, tree_leaves, tree_map


@dataclass(frozen=True)
class Port:
    """One input or output [N, *shape]; `initial` [*shape] is what a state holds before an episode."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    initial: np.ndarray | None = None


class ExportedPolicy(nn.Module):
    """Raw observations and the state -> the action as the environment takes it, and the next state; no exploration.

    All are tensors [N, ...] in a row: the parts of the observation in the order of their space, then the leaves of
    the state. `inputs`, `states` and `outputs` tell them; `outputs` has the action alone. It works on a copy of the
    policy on the CPU, without its critic. Raises UserError for a policy that has no greedy action.
    """

    def __init__(self, policy: Policy, obs_space: spaces.Space[Any]):
        super().__init__()
        self.policy = on_cpu(policy)
        self.net = self.policy.net
        self.space, self.parts = obs_space, parts_of(obs_space)
        self.initial = self.policy.greedy_state(1)
        self.inputs = [Port(name, part.shape or (), str(part.dtype)) for name, part in named("obs", self.parts)]
        self.states = [
            Port(f"state_{index}", tuple(leaf.shape[1:]), str(leaf.numpy().dtype), leaf[0].numpy())
            for index, leaf in enumerate(tree_leaves(self.initial))
        ]
        action = self(*self.example(1))[0]
        self.outputs = [Port("action", tuple(action.shape[1:]), str(action.numpy().dtype))]

    @torch.no_grad()
    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        self.net.eval()  # means of noisy layers, no dropout
        given = iter(tensors)
        obs = tree_map(lambda _: next(given), self.parts)
        state = tree_map(lambda _: next(given), self.initial)
        action, state = self.policy.greedy_action(obs, state)
        return (action, *tree_leaves(state))

    def example(self, n: int) -> tuple[Tensor, ...]:
        """Inputs of the right shapes and types, for `n` rows at an episode's start."""
        obs = [torch.from_numpy(np.stack([part.sample() for _ in range(n)])) for part in tree_leaves(self.parts)]
        return (*obs, *self.start(n))

    def start(self, n: int) -> list[Tensor]:
        """The state of `n` rows before an episode."""
        return [leaf.expand(n, *leaf.shape[1:]).clone() for leaf in tree_leaves(self.initial)]

    def flat(self, obs: Tree) -> list[np.ndarray]:
        """Observations [N, ...] as the environment gives them, in the order and types of the inputs."""
        return tree_leaves(tree_map(lambda part, leaf: np.asarray(leaf, part.dtype), self.parts, obs))

    def tree(self, parts: list[np.ndarray]) -> Tree:
        """The observation again from its parts, as a policy takes it."""
        given = iter(parts)
        return tree_map(lambda _: next(given), self.parts)


def on_cpu(policy: Policy) -> Policy:
    """A copy of a policy on the CPU, which leaves the original alone."""
    twin = copy.copy(policy)
    Policy.__init__(twin, copy.deepcopy(policy.net).cpu())
    return twin


def parts_of(space: spaces.Space[Any]) -> Tree:
    """An observation space as a tree whose leaves are the spaces of its parts."""
    if isinstance(space, spaces.Dict):
        return {key: parts_of(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(parts_of(part) for part in space.spaces)
    return space


def named(name: str, parts: Tree) -> Iterator[tuple[str, Any]]:
    """The leaves with their names: `obs`, or `obs.<key>` of a Dict's part."""
    if isinstance(parts, dict | tuple):
        items = parts.items() if isinstance(parts, dict) else enumerate(parts)
        for key, part in items:
            yield from named(f"{name}.{key}", part)
    else:
        yield name, parts

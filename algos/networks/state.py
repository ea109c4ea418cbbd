"""Trees of tensors: the state that layers carry, and observations of several parts."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

Tree = Any  # a tensor, or a tuple, list or dict of trees; () for a layer that carries no state


def tree_map(fn: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `fn` to the leaves of trees of one shape."""
    if isinstance(tree, dict):
        return {key: tree_map(fn, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (tuple, list)):
        return type(tree)(tree_map(fn, *leaves) for leaves in zip(tree, *others, strict=True))
    return fn(tree, *others)


def tree_leaves(tree: Tree) -> list[Any]:
    """Leaves in the order of the tree."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in tree_leaves(value)]
    if isinstance(tree, (tuple, list)):
        return [leaf for value in tree for leaf in tree_leaves(value)]
    return [tree]


def reset_rows(state: Tree, initial: Tree, reset: torch.Tensor) -> Tree:
    """Take `initial` in the rows where `reset` [B] is true, `state` elsewhere; leaves are [B, ...]."""

    def choose(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        return torch.where(reset.view(-1, *[1] * (old.dim() - 1)), new, old)

    return tree_map(choose, state, initial)


def one_step(net: Any, obs: Tree, state: Tree) -> tuple[Any, Tree]:
    """What a network gives for one observation of each row, and its next state; with memory, for a sequence of one.

    The state has been reset where an episode begins.
    """
    if not net.recurrent:
        return net(obs), state
    rows = tree_leaves(obs)[0]
    no_reset = torch.zeros(len(rows), 1, dtype=torch.bool, device=rows.device)
    *outputs, state = net.unroll(tree_map(lambda leaf: leaf.unsqueeze(1), obs), state, no_reset)
    outputs = [output.squeeze(1) for output in outputs]
    return (tuple(outputs) if len(outputs) > 1 else outputs[0]), state


def minibatches(rows: Tree, size: int, generator: torch.Generator) -> Iterator[Tree]:
    """Rows [N, ...] in random order, `size` at a time; the last minibatch has what is left."""
    first = tree_leaves(rows)[0]
    for index in torch.randperm(len(first), generator=generator, device=first.device).split(size):
        yield tree_map(lambda column, index=index: column[index], rows)

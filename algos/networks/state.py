"""Trees of tensors: the state that layers carry, and observations of several parts."""

from collections.abc import Iterator
from typing import Any

import torch

from algos.common.trees import Tree, tree_leaves, tree_map


def reset_rows(state: Tree, initial: Tree, reset: torch.Tensor) -> Tree:
    """Take `initial` in the rows where `reset` [B] is true, `state` elsewhere; leaves are [B, ...]."""

    def select(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        return torch.where(reset.view(-1, *[1] * (old.dim() - 1)), new, old)

    return tree_map(select, state, initial)


def one_step(net: Any, obs: Tree, state: Tree) -> tuple[Any, Tree]:
    """A network's output for one observation of each row, and its next state; with memory, for a sequence of one.

    The state has been reset where an episode begins.
    """
    if not net.recurrent:
        return net(obs), state
    rows = tree_leaves(obs)[0]
    no_reset = torch.zeros(rows.shape[0], 1, dtype=torch.bool, device=rows.device)  # an export traces the size
    *outputs, state = net.unroll(tree_map(lambda leaf: leaf.unsqueeze(1), obs), state, no_reset)
    outputs = [output.squeeze(1) for output in outputs]
    return (tuple(outputs) if len(outputs) > 1 else outputs[0]), state


def minibatches(rows: Tree, size: int, generator: torch.Generator) -> Iterator[Tree]:
    """Rows [N, ...] in random order, `size` at a time; the last minibatch has what is left.

    A minibatch of all rows has them in their own order: a mean over rows does not depend on it.
    """
    first = tree_leaves(rows)[0]
    if len(first) <= size:
        yield rows
        return
    for index in torch.randperm(len(first), generator=generator, device=first.device).split(size):
        yield tree_map(lambda column, index=index: column.index_select(0, index), rows)

"""Target networks: slow copies of a network that is being trained."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def make_target(net: Module, shared: nn.Module | None = None) -> Module:
    """A copy that no optimiser touches; the part `shared`, if any, is not copied: both have the same one."""
    target = copy.deepcopy(net, {} if shared is None else {id(shared): shared})
    common = set() if shared is None else set(shared.parameters())
    for weight in target.parameters():
        if weight not in common:
            weight.requires_grad_(False)
    return target


@torch.no_grad()
def update_target(target: nn.Module, net: nn.Module, tau: float) -> None:
    """target <- (1 - tau) target + tau net; tau = 1 copies. What both share stays as it is."""
    pairs = [pair for pair in zip(target.parameters(), net.parameters(), strict=True) if pair[0] is not pair[1]]
    old: list[Tensor] = [pair[0] for pair in pairs]
    new: list[Tensor] = [pair[1] for pair in pairs]
    if tau == 1.0:
        torch._foreach_copy_(old, new)
    else:
        torch._foreach_lerp_(old, new, tau)

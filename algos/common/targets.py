"""Target networks: slow copies of a network that is being trained."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def make_target(net: Module) -> Module:
    """A copy that no optimiser touches."""
    return copy.deepcopy(net).requires_grad_(False)


@torch.no_grad()
def update_target(target: nn.Module, net: nn.Module, tau: float) -> None:
    """target <- (1 - tau) target + tau net; tau = 1 copies."""
    old: list[Tensor] = list(target.parameters())
    new: list[Tensor] = list(net.parameters())
    if tau == 1.0:
        torch._foreach_copy_(old, new)
    else:
        torch._foreach_lerp_(old, new, tau)

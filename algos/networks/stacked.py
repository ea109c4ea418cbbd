"""Networks of one form side by side: each layer of all of them is one batched product."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.networks.builder import Network
from algos.networks.layers import NARROW, NarrowLinear, by_columns

_BY_ELEMENT = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus)


def _is_linear(layer: nn.Module) -> bool:
    """Whether it is nothing but a product and a bias: a class of the user's may do more."""
    return type(layer) in (nn.Linear, NarrowLinear) and layer.bias is not None


class StackedLinear(nn.Module):
    """K linear layers, weight [K, out, in] and bias [K, out, 1]: x [in, B] for all, or [K, in, B] -> [K, out, B].

    Features come before rows: so outputs and gradients lie in memory as the next product reads them.
    """

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]).unsqueeze(2))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            return torch.bmm(self.weight, x) + self.bias
        weight = self.weight.flatten(0, 1)
        if len(x) < NARROW:
            weight = by_columns(weight)
        return torch.mm(weight, x).unflatten(0, self.bias.shape[:2]) + self.bias

    def first(self, x: Tensor) -> Tensor:
        """The first of them alone: [B, in] -> [B, out]."""
        return F.linear(x, self.weight[0], self.bias[0].squeeze(1))


class StackedNetworks(nn.Module):
    """K networks that `fit`, with the weights that they have: x [B, D] -> [B, K, out]."""

    def __init__(self, networks: Sequence[Network]):
        super().__init__()
        levels: list[tuple[Any, ...]] = list(zip(*(network.body for network in networks), strict=True))
        self.layers = nn.ModuleList(
            StackedLinear(level) if isinstance(level[0], nn.Linear) else level[0] for level in levels
        )
        self.size = len(networks)

    @staticmethod
    def fit(networks: Sequence[Network]) -> bool:
        """Whether there are several, of nothing but linear layers and activations by element."""
        layers = [layer for network in networks for layer in network.body]
        plain = all(_is_linear(layer) or type(layer) in _BY_ELEMENT for layer in layers)
        return len(networks) > 1 and plain and all(network.prepare is None for network in networks)

    def forward(self, x: Tensor) -> Tensor:
        x = x.t()
        for layer in self.layers:
            x = layer(x)
        return x.permute(2, 0, 1)

    def first(self, x: Tensor) -> Tensor:
        """The first network alone: [B, D] -> [B, out]."""
        for layer in self.layers:
            x = layer.first(x) if isinstance(layer, StackedLinear) else layer(x)
        return x


def stack_apart(stack: StackedNetworks, state: dict[str, Any], apart: str, stacked: str) -> None:
    """Put together in a state dict what lies apart in it, as `apart`<network>.body.<layer>, under `stacked`."""
    for name, _ in stack.layers.named_parameters():
        keys = [f"{apart}{k}.body.{name}" for k in range(stack.size)]
        if all(key in state for key in keys):
            together = torch.stack([state.pop(key) for key in keys])
            state[f"{stacked}layers.{name}"] = together.unsqueeze(2) if together.dim() == 2 else together  # biases

"""Ready-made network classes, built in the same way as lists of layers.

All are told `out_features` by the algorithm; without it an actor has what its actions' distribution takes, a critic 1.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.common.distributions import head_size
from algos.common.errors import UserError
from algos.common.trees import Tree
from algos.networks.builder import Network, build_head_stack, build_network

Layers = list[dict[str, Any]]
NATURE, SMALL = ([32, 64, 64], [8, 4, 3], [4, 2, 1]), ([32, 64], [3, 3], [2, 2])  # channels, kernels, strides


class ReadyMade(Network):
    """Layers that take the observation, then layers over their features, and a last linear one.

    With `n_inputs` these numbers of a second input join the features; the network is then called with a pair.
    """

    carries_state: ClassVar[bool] = False

    def __init__(
        self, obs_space: spaces.Space[Any], before: Layers, hidden: Layers, out_features: int, n_inputs: int = 0
    ):
        where = type(self).__name__
        if n_inputs:
            encoder = build_network(obs_space, before, path=where)
            head = build_head_stack(encoder.out_features + n_inputs, hidden, out_features, where)
            super().__init__(_Joined(encoder), head.body, out_features, has_head=True)
        else:
            network = build_network(obs_space, [*before, *hidden], out_features=out_features, path=where)
            super().__init__(network.prepare, network.body, out_features, has_head=True)


class MLPActor(ReadyMade):
    """A multilayer perceptron over the observation, flattened; `layer_norm` before each activation."""

    def __init__(
        self,
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        hidden_dims: Sequence[int] = (256, 256),
        activation: str = "elu",
        layer_norm: bool = False,
        out_features: int | None = None,
    ):
        out = head_size(action_space) if out_features is None else out_features
        super().__init__(obs_space, [], _linear(hidden_dims, activation, layer_norm), out)


class MLPCritic(ReadyMade):
    """As `MLPActor`, for values; `with_action` the action joins the observation: critic(obs, action)."""

    def __init__(
        self,
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        hidden_dims: Sequence[int] = (256, 256),
        activation: str = "elu",
        layer_norm: bool = False,
        out_features: int = 1,
        with_action: bool = False,
    ):
        n_inputs = head_size(action_space) if with_action else 0
        super().__init__(obs_space, [], _linear(hidden_dims, activation, layer_norm), out_features, n_inputs)

    def forward(self, obs: Tree, action: Tensor | None = None) -> Tensor:
        return super().forward(obs if action is None else (obs, action))


class CNNActor(ReadyMade):
    """Convolutions over an image, then linear layers; by default as Mnih et al. 2015, or smaller below 36 pixels."""

    def __init__(
        self,
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        conv_channels: Sequence[int] | None = None,
        conv_kernels: Sequence[int] | None = None,
        conv_strides: Sequence[int] | None = None,
        hidden_dims: Sequence[int] = (512,),
        activation: str = "relu",
        out_features: int | None = None,
    ):
        convolutions = _convolutions(type(self).__name__, obs_space, conv_channels, conv_kernels, conv_strides)
        out = head_size(action_space) if out_features is None else out_features
        super().__init__(obs_space, convolutions, _linear(hidden_dims, activation), out)


class CNNCritic(ReadyMade):
    """As `CNNActor`, for values; `with_action` the action joins what the convolutions give: critic(obs, action)."""

    def __init__(
        self,
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        conv_channels: Sequence[int] | None = None,
        conv_kernels: Sequence[int] | None = None,
        conv_strides: Sequence[int] | None = None,
        hidden_dims: Sequence[int] = (512,),
        activation: str = "relu",
        out_features: int = 1,
        with_action: bool = False,
    ):
        convolutions = _convolutions(type(self).__name__, obs_space, conv_channels, conv_kernels, conv_strides)
        n_inputs = head_size(action_space) if with_action else 0
        super().__init__(obs_space, convolutions, _linear(hidden_dims, activation), out_features, n_inputs)

    def forward(self, obs: Tree, action: Tensor | None = None) -> Tensor:
        return super().forward(obs if action is None else (obs, action))


class _Joined(nn.Module):
    """The features of an observation and the numbers that come with it: a pair -> [N, D]."""

    def __init__(self, encoder: Network):
        super().__init__()
        self.encoder = encoder

    def forward(self, pair: tuple[Tree, Tensor]) -> Tensor:
        obs, numbers = pair
        return torch.cat([self.encoder(obs), numbers], dim=1)


def _linear(sizes: Sequence[int] | int, activation: str, layer_norm: bool = False) -> Layers:
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    if not layer_norm:
        return [{"layer_type": "linear", "layer_size": sizes, "activation": activation}] if sizes else []
    norm = {"layer_type": "norm", "norm_type": "layer", "activation": activation}
    return [layer for n in sizes for layer in ({"layer_type": "linear", "layer_size": n, "activation": "none"}, norm)]


def _convolutions(
    name: str,
    obs_space: spaces.Space[Any],
    channels: Sequence[int] | None,
    kernels: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Layers:
    """conv2d layers of these sizes; those that are not given are chosen by the image's size."""
    if not (isinstance(obs_space, spaces.Box) and len(obs_space.shape) in (2, 3)):
        raise UserError(
            f"{name} takes an image, a Box of 2 or 3 dimensions, not {type(obs_space).__name__} {obs_space.shape}"
        )
    usual = NATURE if sorted(obs_space.shape)[-2] >= 36 else SMALL
    given = [list(usual[i] if one is None else one) for i, one in enumerate((channels, kernels, strides))]
    if len({len(one) for one in given}) > 1:
        raise UserError(f"{name}: conv_channels, conv_kernels and conv_strides = {given} must have the same length")
    return [
        {"layer_type": "conv2d", "out_channel": channel, "kernel_size": kernel, "stride": stride}
        for channel, kernel, stride in zip(*given, strict=True)
    ]

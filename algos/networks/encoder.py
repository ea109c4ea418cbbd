"""Converts observations of any supported space to the input of the first layer."""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.common.errors import UserError
from algos.networks.layers import Shape
from algos.networks.spec import Conv2dSpec, EmbedSpec, FlattenSpec, LayerSpec, ModuleSpec

BYTE = 255.0  # the largest
LEAST_SIDE = 16  # pixels of a picture of floats; smaller arrays may be anything
LARGE = 1000  # numbers of an observation that may have been meant as an image
SUPPORTED = "Box, Discrete, MultiBinary, MultiDiscrete, or a Dict of these"


class Vector(nn.Module):
    """Any numbers [N, ...] -> float32 [N, size]."""

    def __init__(self, size: int, warning: str = ""):
        super().__init__()
        self.size, self.warning = size, warning

    def forward(self, x: Tensor) -> Tensor:
        return x.float().reshape(-1, self.size)


class Image(nn.Module):
    """Images [N, H, W], [N, H, W, C] or [N, C, H, W] -> float32 [N, C, H, W], divided by `scale`.

    Stacked frames [N, S, H, W, C] or [N, S, C, H, W] become channels: [N, S C, H, W].
    """

    def __init__(self, dims: int, channels_last: bool, scale: float | None):
        super().__init__()
        self.dims, self.channels_last, self.scale = dims, channels_last, scale

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        if self.scale is not None:
            x = x / self.scale
        if self.dims == 2:
            return x.unsqueeze(1)
        if self.dims == 4:
            return (x.permute(0, 1, 4, 2, 3) if self.channels_last else x).flatten(1, 2)
        return x.permute(0, 3, 1, 2) if self.channels_last else x


class OneHot(nn.Module):
    """Integers [N] or [N, K] -> float32 [N, sum of sizes], the one-hots of all K joined; `starts` are their least."""

    column: Tensor
    value: Tensor

    def __init__(self, sizes: list[int], starts: list[int]):
        super().__init__()
        self.register_buffer("column", torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), False)
        values = [start + index for size, start in zip(sizes, starts, strict=True) for index in range(size)]
        self.register_buffer("value", torch.tensor(values), False)
        self.single = len(sizes) == 1

    def forward(self, x: Tensor) -> Tensor:
        columns = x.reshape(-1, 1) if self.single else x.index_select(1, self.column)
        return (columns == self.value).float()


class Indices(nn.Module):
    """Integers [N] or [N, K] -> int64 counted from 0, for an embedding."""

    start: Tensor

    def __init__(self, start: Any):
        super().__init__()
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.int64), False)

    def forward(self, x: Tensor) -> Tensor:
        return x.long() - self.start


@dataclasses.dataclass
class Prepared:
    """How an observation enters a network: module (None: a float vector as it is), its shape, the layers to follow."""

    module: nn.Module | None
    shape: Shape
    layers: list[LayerSpec]


def prepare(space: spaces.Space[Any], layers: list[LayerSpec], where: str) -> Prepared:
    """Fit a space that is no Dict to its layers; `where` names the observation in errors.

    Images without a conv2d layer get a default CNN in front (unless the first layer is flatten).
    Raises UserError for a space of another kind.
    """
    if layers and isinstance(layers[0], EmbedSpec):
        return _prepare_embed(space, layers[0], layers)
    if isinstance(space, spaces.Discrete):
        return Prepared(OneHot([int(space.n)], [int(space.start)]), (int(space.n),), layers)
    if isinstance(space, spaces.MultiDiscrete):
        _one_dimensional(space, where)
        return Prepared(OneHot(space.nvec.tolist(), space.start.tolist()), (int(space.nvec.sum()),), layers)
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return _prepare_box(space, layers)
    kind = type(space).__name__
    raise UserError(f"{where} is a {kind} space, which no layer accepts; supported: {SUPPORTED}{_way_out(space)}")


def default_cnn(shape: Shape, where: str) -> list[LayerSpec]:
    """Convolutions for an image (channels, height, width): those of Mnih et al. 2015, or two small ones below 36."""
    nature, small = [(32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)], [(32, 3, 2, 1), (64, 3, 2, 1)]
    convs = nature if min(shape[1:]) >= 36 else small
    layers: list[LayerSpec] = [
        Conv2dSpec(where, out_channel=out, kernel_size=(k, k), stride=(s, s), padding=(p, p)) for out, k, s, p in convs
    ]
    return [*layers, FlattenSpec(where)]


def _prepare_vector(shape: Shape, layers: list[LayerSpec], warning: str = "") -> Prepared:
    size = math.prod(shape)
    return Prepared(None if len(shape) == 1 and not warning else Vector(size, warning), (size,), layers)


def _prepare_box(space: spaces.Box | spaces.MultiBinary, layers: list[LayerSpec]) -> Prepared:
    conv = next((layer for layer in layers if isinstance(layer, Conv2dSpec) or _takes_images(layer)), None)
    left_flat = bool(layers) and isinstance(layers[0], FlattenSpec)
    dims = len(space.shape)
    if dims not in (2, 3, 4) or (conv is None and (left_flat or not _looks_like_image(space))):
        return _prepare_vector(space.shape, layers, "" if left_flat else _remark(space))
    channels_last = dims > 2 and _channels_last(space.shape[-3:], getattr(conv, "in_channel", None))
    shape = (1, *space.shape) if dims == 2 else space.shape[-3:]
    if channels_last:
        shape = (shape[2], *shape[:2])
    if dims == 4:
        shape = (space.shape[0] * shape[0], *shape[1:])
    if conv is None:
        layers = [*default_cnn(shape, "default CNN"), *layers]
    return Prepared(Image(dims, channels_last, _scale(space)), shape, layers)


def _looks_like_image(space: spaces.Box | spaces.MultiBinary) -> bool:
    """Whether a space is of pixels: bytes and depths; floats of 0 to 1 or 255, and planes of bools, by their shape."""
    kind, high = space.dtype.kind, _top(space)
    if kind == "u":
        return space.dtype == np.uint8 or high >= BYTE
    if len(space.shape) < 3 or isinstance(space, spaces.MultiBinary) or np.any(space.low != 0):
        return False
    sides = sorted(space.shape[-3:])
    coloured = space.shape[-1] in (1, 3, 4) or space.shape[-3] in (1, 3, 4)
    return kind == "b" or (kind == "f" and high in (1, BYTE) and coloured and sides[1] >= LEAST_SIDE)


def _scale(space: spaces.Box | spaces.MultiBinary) -> float | None:
    """What pixels are divided by, so that they are at most 1: bytes by 255, others by their bound from there on."""
    if space.dtype == np.uint8:
        return BYTE
    high = _top(space)
    bounded = BYTE <= high < np.inf and not np.any(space.low < 0)  # type: ignore[union-attr]  # only a Box is so high
    return high if bounded else None


def _top(space: spaces.Box | spaces.MultiBinary) -> float:
    """The largest number in a space."""
    return float(space.high.max()) if isinstance(space, spaces.Box) and space.high.size else 1.0


def _remark(space: spaces.Box | spaces.MultiBinary) -> str:
    """What to know of numbers that enter linear layers as they are; empty if nothing."""
    size = math.prod(space.shape)
    if len(space.shape) > 1 and size >= LARGE:
        return (
            f"an observation of shape {space.shape} enters the layers as {size} numbers; a conv2d layer first would"
            " take it as an image, a flatten layer first says that this is meant"
        )
    if space.dtype == np.uint8 and _top(space) >= BYTE:
        return (
            f"an observation of {size} bytes enters the layers as numbers up to {_top(space):g}; to scale them:"
            ' "env_cfg.wrappers=[{type: DtypeObservation, dtype: float32}, {type: RescaleObservation, min_obs: 0.0,'
            ' max_obs: 1.0}]"'
        )
    return ""


def _takes_images(layer: LayerSpec) -> bool:
    return isinstance(layer, ModuleSpec) and layer.takes_images


def _channels_last(shape: Shape, in_channel: int | None) -> bool:
    """Whether the channels of a 3-D image come last: in_channel decides, else the odd side out, else the shorter."""
    first, middle, last = shape
    if in_channel is not None and (in_channel == first) != (in_channel == last):
        return in_channel == last
    if (first == middle) != (middle == last):
        return first == middle
    return last <= first


def _prepare_embed(space: spaces.Space[Any], embed: EmbedSpec, layers: list[LayerSpec]) -> Prepared:
    shape: Shape
    if isinstance(space, spaces.Discrete):
        n_values, start, shape = int(space.n), space.start, ()
    elif isinstance(space, spaces.MultiDiscrete):
        _one_dimensional(space, embed.where)
        n_values, start, shape = int(space.nvec.max()), space.start, space.shape
    else:
        raise embed.error("", f"embed takes a Discrete or MultiDiscrete observation, not {type(space).__name__}")
    if embed.n_embeddings is not None and embed.n_embeddings < n_values:
        raise embed.error("n_embeddings", f"is {embed.n_embeddings}, but the observation has {n_values} values")
    full = dataclasses.replace(embed, n_embeddings=embed.n_embeddings or n_values)
    return Prepared(Indices(start), shape, [full, *layers[1:]])


def _one_dimensional(space: spaces.MultiDiscrete, where: str) -> None:
    if len(space.shape) != 1:
        raise UserError(
            f"{where}: a MultiDiscrete observation must be one-dimensional, not of shape {space.shape}{_way_out(space)}"
        )


def _way_out(space: spaces.Space[Any]) -> str:
    """Advice for a space that Gymnasium can flatten to a vector."""
    try:
        flat = space.is_np_flattenable
    except NotImplementedError:  # a class of the environment's own
        flat = False
    return "; env_cfg.wrappers=[FlattenObservation] turns it into one vector" if flat else ""

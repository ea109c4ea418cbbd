"""Non-recurrent layers, and the construction of all layers: spec and input shape -> modules and output shape."""

import math
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.networks.spec import (
    Conv2dSpec,
    DropoutSpec,
    EmbedSpec,
    FlattenSpec,
    IdentitySpec,
    LayerSpec,
    LinearSpec,
    NoisyLinearSpec,
    NormSpec,
    Pair,
    PoolingSpec,
)

Shape = tuple[int, ...]  # of one sample: (features,), (channels, height, width), ...
Built = tuple[list[nn.Module], Shape]
NARROW = 16  # inputs: products with matrices of fewer columns are slow

# In place where the gradient needs the output only: nothing below saves what it hands on.
_ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(inplace=True),
    "elu": lambda: nn.ELU(inplace=True),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softmax": lambda: nn.Softmax(dim=1),  # features of [N, D], channels of [N, C, H, W]
}

MODAL = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.SyncBatchNorm, nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer),
)  # modules of torch that read their mode


class NoisyLinear(nn.Module):
    """Linear layer with learned, factorised Gaussian noise on weights and biases (Fortunato et al. 2017).

    x [..., in_features] -> [..., out_features]. In training mode w = mu + sigma * f(eps_out) f(eps_in)^T with
    f(e) = sgn(e) sqrt|e|; in evaluation mode w = mu. There is no noise before the first `reset_noise`, and the
    noise is not part of the state dict.
    """

    eps_in: Tensor
    eps_out: Tensor

    def __init__(self, in_features: int, out_features: int, sigma_init: float = 0.5):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        sigma = sigma_init * bound
        self.weight_mu = nn.Parameter(torch.empty(out_features, in_features).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((out_features, in_features), sigma))
        self.bias_mu = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))
        self.bias_sigma = nn.Parameter(torch.full((out_features,), sigma))
        self.register_buffer("eps_in", torch.zeros(in_features), persistent=False)
        self.register_buffer("eps_out", torch.zeros(out_features), persistent=False)

    def reset_noise(self, generator: torch.Generator) -> None:
        """Draw new noise from `generator`, on whichever device that is."""
        noise = torch.randn(self.in_features + self.out_features, generator=generator, device=generator.device)
        noise = noise.sign() * noise.abs().sqrt()
        self.eps_in.copy_(noise[: self.in_features])
        self.eps_out.copy_(noise[self.in_features :])

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.linear(x, self.weight_mu, self.bias_mu)
        eps_out = self.eps_out.clone()  # the graph must survive a reset_noise between forward and backward
        weight = self.weight_mu + self.weight_sigma * torch.outer(eps_out, self.eps_in)
        return F.linear(x, weight, self.bias_mu + self.bias_sigma * eps_out)


def has_modes(module: nn.Module) -> bool:
    """Whether a module by itself, without its parts, may give something else in training than in evaluation.

    Any module of the user's may: it can read `self.training`. Of noisy layers, exploration decides.
    """
    place = type(module).__module__
    if place.startswith("algos."):
        return False
    return isinstance(module, MODAL) if place.startswith("torch.nn.") else True


class NarrowLinear(nn.Linear):
    """`nn.Linear` of few inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, by_columns(self.weight), self.bias)


def by_columns(weight: Tensor) -> Tensor:
    """A weight [out, few] whose gradient is to be taken as a product of long rows.

    x^T g is four to eight times as fast as g^T x with rows of a few numbers. Torch chooses by how the weight lies in
    memory: hence a copy of it by columns where there is a gradient.
    """
    return weight.t().contiguous().t() if torch.is_grad_enabled() else weight


def linear_layer(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer, of the kind that learns faster."""
    kind = NarrowLinear if in_features < NARROW <= out_features else nn.Linear
    return kind(in_features, out_features)


def activation(name: str) -> list[nn.Module]:
    """The activation of that name as a list of modules, empty for "none"."""
    return [] if name == "none" else [_ACTIVATIONS[name]()]


def to_vector(shape: Shape) -> Built:
    """The modules that flatten a sample of `shape` to a vector; none where it is one already."""
    return ([] if len(shape) == 1 else [nn.Flatten()]), (math.prod(shape),)


def describe(shape: Shape) -> str:
    """A shape in words, for error messages."""
    if len(shape) == 1:
        return f"a vector of {shape[0]}"
    return f"an image {' x '.join(map(str, shape))}" if len(shape) == 3 else f"a table {' x '.join(map(str, shape))}"


@singledispatch
def make_layer(spec: LayerSpec, shape: Shape) -> Built:
    """Modules of one layer of the language for samples of `shape`, and the shape that they give.

    Modules take [N, *shape], stateful ones (algos.networks.memory) [B, T, D]. Raises UserError naming the layer's
    place where it does not fit the shape.
    """
    raise TypeError(f"no module is known for {type(spec).__name__}")


@make_layer.register
def _linear(spec: LinearSpec, shape: Shape) -> Built:
    modules, (size,) = to_vector(shape)
    for out in spec.layer_size:
        linear = (
            NoisyLinear(size, out, spec.sigma_init) if isinstance(spec, NoisyLinearSpec) else linear_layer(size, out)
        )
        modules += [linear, *activation(spec.activation)]
        size = out
    return modules, (size,)


@make_layer.register
def _conv2d(spec: Conv2dSpec, shape: Shape) -> Built:
    channels, height, width = _image(spec, shape, "conv2d")
    if spec.in_channel not in (None, channels):
        raise spec.error("in_channel", f"is {spec.in_channel}, but the image has {channels} channels")
    size = _slide(spec, (height, width), spec.kernel_size, spec.stride, spec.padding)
    conv = nn.Conv2d(channels, spec.out_channel, spec.kernel_size, spec.stride, spec.padding)
    return [conv, *activation(spec.activation)], (spec.out_channel, *size)


@make_layer.register
def _pooling(spec: PoolingSpec, shape: Shape) -> Built:
    channels, height, width = _image(spec, shape, "pooling")
    stride = spec.stride or spec.kernel_size
    size = _slide(spec, (height, width), spec.kernel_size, stride, spec.padding)
    kind = nn.MaxPool2d if spec.pooling_type == "max2d" else nn.AvgPool2d
    return [kind(spec.kernel_size, stride, spec.padding)], (channels, *size)


@make_layer.register
def _embed(spec: EmbedSpec, shape: Shape) -> Built:
    if spec.n_embeddings is None:
        raise spec.error("n_embeddings", "missing; it is inferred from a Discrete observation only")
    embedding = nn.Embedding(spec.n_embeddings, spec.embedding_dim)
    return [embedding, *activation(spec.activation)], (*shape, spec.embedding_dim)


@make_layer.register
def _flatten(spec: FlattenSpec, shape: Shape) -> Built:
    return to_vector(shape)


@make_layer.register
def _identity(spec: IdentitySpec, shape: Shape) -> Built:
    return [], shape


@make_layer.register
def _dropout(spec: DropoutSpec, shape: Shape) -> Built:
    return ([nn.Dropout(spec.p)] if spec.p > 0 else []), shape


@make_layer.register
def _norm(spec: NormSpec, shape: Shape) -> Built:
    norm: nn.Module
    if spec.n_groups is not None:
        if shape[0] % spec.n_groups:
            raise spec.error("n_groups", f"is {spec.n_groups}, which does not divide {describe(shape)}")
        norm = nn.GroupNorm(spec.n_groups, shape[0])
    else:
        norm = nn.LayerNorm(shape) if spec.norm_type == "layer" else nn.RMSNorm(shape)
    return [norm, *activation(spec.activation)], shape


def _image(spec: LayerSpec, shape: Shape, name: str) -> Shape:
    if len(shape) != 3:
        raise spec.error("", f"{name} takes an image (channels x height x width), but gets {describe(shape)}")
    return shape


def _slide(spec: LayerSpec, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Size after a sliding kernel: floor((size + 2 padding - kernel) / stride) + 1 in each direction."""
    if any(n + 2 * p < k for n, k, p in zip(size, kernel, padding, strict=True)):
        sizes = f"{kernel[0]} x {kernel[1]} is larger than the image {size[0]} x {size[1]}"
        raise spec.error("kernel_size", f"{sizes} (padding {padding[0]} x {padding[1]})")
    height, width = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    return height, width

"""Action distributions over network outputs, with few torch calls; `sample` draws only from the given generator."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import pad, softplus

from algos.common.errors import UserError
from algos.common.masks import FORBIDDEN, forbid

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
LOG_STD_RANGE = (-5.0, 2.0)  # of the normals of a mixture


class Categorical:
    """One of K actions; logits [..., K], actions int64 [...] from 0 on; the logit FORBIDDEN rules an action out."""

    def __init__(self, logits: Tensor):
        self.logits = logits
        self._log_probs: Tensor | None = None  # not functools.cached_property: its lock breaks a compiled graph

    @property
    def log_probs(self) -> Tensor:
        """Normalised logits [..., K], computed once."""
        if self._log_probs is None:
            self._log_probs = self.logits.log_softmax(-1)
        return self._log_probs

    def sample(self, generator: torch.Generator) -> Tensor:
        # Gumbel-max: -log E of an exponential E is Gumbel noise, and argmax(logits + Gumbel) follows softmax(logits)
        noise = torch.empty_like(self.logits).exponential_(generator=generator)
        return (self.logits - noise.log_()).argmax(-1)

    def mode(self) -> Tensor:
        return self.logits.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.log_probs.exp() * self.log_probs).sum(-1)


class MultiCategorical(Categorical):
    """K independent choices of nvec[k] each; logits [..., sum(nvec)], actions int64 [..., K]."""

    def __init__(self, logits: Tensor, nvec: Sequence[int]):
        widest = max(nvec)
        if all(n == widest for n in nvec):
            super().__init__(logits.unflatten(-1, (len(nvec), widest)))
            return
        # pads of probability 0: finite, so that p log p is 0 and not NaN, and below what a mask forbids
        parts = logits.split(list(nvec), dim=-1)
        padded = [pad(part, (0, widest - part.shape[-1]), value=2 * FORBIDDEN) for part in parts]
        super().__init__(torch.stack(padded, dim=-2))

    def log_prob(self, action: Tensor) -> Tensor:
        return super().log_prob(action).sum(-1)

    def entropy(self) -> Tensor:
        return super().entropy().sum(-1)


class DiagGaussian:
    """Independent normals; mean [..., D], log_std [D] or [..., D], actions [..., D]."""

    def __init__(self, mean: Tensor, log_std: Tensor):
        self.mean, self.log_std = mean, log_std

    def sample(self, generator: torch.Generator) -> Tensor:
        """No gradient flows through a sample."""
        mean = self.mean.detach()
        noise = torch.empty_like(mean).normal_(generator=generator)
        return mean + self.log_std.detach().exp() * noise

    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        # log N(a) = -1/2 ((a - mean) / std)^2 - log std - 1/2 log(2 pi), summed over D
        z = (action - self.mean) * (-self.log_std).exp()
        return (-0.5 * z * z - self.log_std - _HALF_LOG_2PI).sum(-1)

    def entropy(self) -> Tensor:
        # 1/2 + 1/2 log(2 pi) + log std, summed over D
        return (self.log_std + (0.5 + _HALF_LOG_2PI)).expand_as(self.mean).sum(-1)


class Bernoulli:
    """K independent yes or no; logits [..., K], actions int8 [..., K]."""

    def __init__(self, logits: Tensor):
        self.logits = logits

    def sample(self, generator: torch.Generator) -> Tensor:
        dice = torch.empty_like(self.logits).uniform_(generator=generator)
        return (dice < self.logits.sigmoid()).to(torch.int8)

    def mode(self) -> Tensor:
        return (self.logits > 0).to(torch.int8)

    def log_prob(self, action: Tensor) -> Tensor:
        # log p(a) = a l - log(1 + e^l), summed over K
        return (action * self.logits - softplus(self.logits)).sum(-1)

    def entropy(self) -> Tensor:
        # log(1 + e^l) - l p, summed over K
        return (softplus(self.logits) - self.logits * self.logits.sigmoid()).sum(-1)


class GaussianMixture:
    """One of K normals, each independent in D dimensions; actions [..., D].

    params [..., K (1 + 2 D)]: K logits, K means and K log standard deviations. These are kept within LOG_STD_RANGE, as
    the likelihood of a normal upon a single action has no maximum.
    """

    def __init__(self, params: Tensor, n: int):
        size = (params.shape[-1] // n - 1) // 2
        logits, mean, log_std = params.split([n, n * size, n * size], dim=-1)
        self.which = Categorical(logits)
        self.mean = mean.unflatten(-1, (n, size))
        self.log_std = log_std.unflatten(-1, (n, size)).clamp(*LOG_STD_RANGE)

    def sample(self, generator: torch.Generator) -> Tensor:
        """No gradient flows through a sample."""
        which = self.which.sample(generator)
        return DiagGaussian(_chosen(self.mean, which), _chosen(self.log_std, which)).sample(generator)

    def mode(self) -> Tensor:
        """The mean of the likeliest normal."""
        return _chosen(self.mean, self.which.mode())

    def log_prob(self, action: Tensor) -> Tensor:
        # log sum_k p_k N_k(a)
        each = DiagGaussian(self.mean, self.log_std).log_prob(action.unsqueeze(-2))
        return (self.which.log_probs + each).logsumexp(-1)


def _chosen(values: Tensor, which: Tensor) -> Tensor:
    """values [..., K, D] at which [...] -> [..., D]."""
    index = which[..., None, None].expand(*which.shape, 1, values.shape[-1])
    return values.gather(-2, index).squeeze(-2)


def any_allowed(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Actions [N], uniform among those that a mask [N, K] allows."""
    return Categorical(forbid(torch.zeros(mask.shape, device=mask.device), mask)).sample(generator)


Distribution = Categorical | DiagGaussian | Bernoulli


def head_size(action_space: spaces.Space[Any]) -> int:
    """Network outputs that `make_distribution` takes for a space.

    Raises UserError for spaces other than Discrete, Box, MultiBinary and one-dimensional MultiDiscrete.
    """
    if isinstance(action_space, spaces.Discrete):
        return int(action_space.n)
    if isinstance(action_space, spaces.Box | spaces.MultiBinary):
        return math.prod(action_space.shape)
    if isinstance(action_space, spaces.MultiDiscrete) and len(action_space.shape) == 1:
        return int(action_space.nvec.sum())
    raise UserError(
        f"no distribution over {type(action_space).__name__} actions of shape {action_space.shape}: "
        "supported are Discrete, Box, MultiBinary and one-dimensional MultiDiscrete"
    )


def head_meaning(action_space: spaces.Space[Any]) -> str:
    """What these outputs are, in words."""
    if isinstance(action_space, spaces.Box):
        return "the means of the actions"
    return "a logit for each " + ("yes or no" if isinstance(action_space, spaces.MultiBinary) else "action")


def sizes_of(action_space: spaces.Space[Any]) -> tuple[int, ...]:
    """The number of choices of each action of a MultiDiscrete space; () for other spaces."""
    return tuple(action_space.nvec.tolist()) if isinstance(action_space, spaces.MultiDiscrete) else ()


def make_distribution(
    action_space: spaces.Space[Any],
    params: Tensor,
    log_std: Tensor | None = None,
    sizes: tuple[int, ...] | None = None,
) -> Distribution:
    """The distribution over a space's actions from network outputs [..., head_size].

    Actions are flat and count from 0: the shape of a Box or MultiBinary and a Discrete's `start` are the caller's.
    `log_std` is for Box only, and needed there (ValueError). `sizes` is `sizes_of(action_space)` if known: a
    compiled loss cannot trace through the space's NumPy array. Raises UserError for other spaces.
    """
    if isinstance(action_space, spaces.Discrete):
        return Categorical(params)
    if isinstance(action_space, spaces.Box):
        if log_std is None:
            raise ValueError("a Box action needs log_std")
        return DiagGaussian(params, log_std)
    if isinstance(action_space, spaces.MultiBinary):
        return Bernoulli(params)
    if sizes is None:
        head_size(action_space)
        sizes = sizes_of(action_space)
    return MultiCategorical(params, sizes)

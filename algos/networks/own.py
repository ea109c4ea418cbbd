"""Your own layers: any module at a dotted path. It gets the size of its input; a trial finds that of its output."""

from typing import Any

import torch
from torch import Tensor, nn

from algos.common.dotted_path import check_kwargs
from algos.common.errors import first_line
from algos.networks.layers import Built, Shape, describe, make_layer, to_vector
from algos.networks.memory import StatefulLayer
from algos.networks.spec import ModuleSpec

# Parameters by which a layer is told of its input, unless the config sets them.
FEATURES, CHANNELS, SHAPE = "in_features", "in_channels", "shape"


@make_layer.register
def _own(spec: ModuleSpec, shape: Shape) -> Built:
    """Built with its settings and, by the name of a parameter, the features, channels or shape of its input.

    What takes `in_features`, or carries state, gets a vector: anything else is flattened before it. The shape that it
    gives is found by a trial with zeros.
    """
    if not (isinstance(spec.kind, type) and issubclass(spec.kind, nn.Module)):  # nothing else is called
        raise spec.error("layer_type", f"{spec.name} is not a subclass of torch.nn.Module")
    known = spec.parameters
    carries_state = getattr(spec.kind, "carries_state", False)
    before, inner = to_vector(shape) if FEATURES in known or carries_state else ([], shape)
    if CHANNELS in known and len(inner) != 3:
        raise spec.error("", f"{spec.name} takes an image (channels x height x width), but gets {describe(inner)}")
    sizes = {FEATURES: inner[0], CHANNELS: inner[0], SHAPE: inner}
    settings = {**{name: size for name, size in sizes.items() if name in known}, **spec.settings}
    check_kwargs(spec.kind, settings, f"{spec.where} ({spec.name})")
    module = _made(spec, settings)
    return [*before, module], _shape_given(spec, module, inner)


def _made(spec: ModuleSpec, settings: dict[str, Any]) -> nn.Module:
    """The module; what a layer of torch's own says of its settings is told as a mistake in them."""
    try:
        module: nn.Module = spec.kind(**settings)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        if not spec.kind.__module__.startswith("torch."):
            raise
        raise spec.error("", f"{spec.name} does not take {settings}: {first_line(error)}") from error
    return module


@torch.no_grad()
def _shape_given(spec: ModuleSpec, module: nn.Module, shape: Shape) -> Shape:
    """Shape of one sample that a module gives for one of `shape`."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()  # a trial must neither draw random numbers nor change statistics
    if isinstance(module, StatefulLayer):
        lead: Shape = (1, 1)
        y, _ = module(torch.zeros(*lead, *shape), module.init_state(1), torch.ones(lead, dtype=torch.bool))
    else:
        lead = (1,)
        y = module(torch.zeros(*lead, *shape))
    for part, training in modes:
        part.training = training
    if not isinstance(y, Tensor) or y.shape[: len(lead)] != lead or y.ndim == len(lead):
        got = f"a tensor {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise spec.error(
            "layer_type",
            f"{spec.name} returned {got} for one of {(*lead, *shape)}; the number of rows must stay the same",
        )
    return tuple(y.shape[len(lead) :])

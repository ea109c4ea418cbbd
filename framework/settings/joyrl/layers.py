"""Translates JoyRL's lists of layers (torch-free)."""

from collections.abc import Callable
from typing import Any

Layers = list[dict[str, Any]]
Lack = Callable[[str], None]  # told of each thing that has no counterpart

HEAD = "n_actions"  # JoyRL of 2022 lists the head too; here it is added by itself
KEYS = {
    "linear": ("layer_size", "activation"),
    "noisy_linear": ("layer_size", "activation", "sigma_init"),
    "conv2d": ("in_channel", "out_channel", "kernel_size", "stride", "padding", "activation"),
    "pooling": ("pooling_type", "kernel_size", "stride", "padding"),
    "embed": ("n_embeddings", "embedding_dim"),
    "flatten": (),
    "norm": ("norm_type",),
    "none": (),
}
UNREAD = {"norm": ("normalized_shape",), "embed": ("activation",)}  # JoyRL takes the shape that comes in


def dense(size: int) -> Layers:
    """The two hidden layers that JoyRL builds for `hidden_dim`."""
    return [{"layer_type": "linear", "layer_size": [size], "activation": "relu"} for _ in range(2)]


def layers_here(layers: Any, lack: Lack) -> Layers:
    """A JoyRL list of layers in the form of docs/networks.md, without the head and layers that do nothing."""
    if layers is None:
        return []
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        lack(f"{layers!r} is not a list of layers")
        return []
    found = [_layer(layer, lack) for layer in layers]
    return [layer for layer in found if layer is not None]


def branch_layers(branches: Any, index: int, lack: Lack) -> Layers:
    """The layers of one JoyRL branch; `branches` is a list of {name, layers}, one per input."""
    if not branches:
        return []
    if not isinstance(branches, list) or not all(isinstance(one, dict) and "layers" in one for one in branches):
        lack(f"{branches!r} is not a list of branches, each with a name and layers")
        return []
    return layers_here(branches[index]["layers"], lack) if index < len(branches) else []


def has_joyrl_words(value: Any) -> bool:
    """Whether a list of layers is written as only JoyRL writes it."""
    if not isinstance(value, list):
        return False
    return any(isinstance(layer, dict) and _only_joyrl(layer) for layer in value)


def _only_joyrl(layer: dict[str, Any]) -> bool:
    dims = layer.get("layer_dim")
    pair = isinstance(dims, list) and any(isinstance(dim, str) for dim in dims)
    named = str(layer.get("norm_type")).lower() == "layernorm" or str(layer.get("activation")).lower() == "leakyrelu"
    branches = "layers" in layer and "layer_type" not in layer
    return pair or named or branches or "std_init" in layer or "normalized_shape" in layer


def _layer(layer: dict[str, Any], lack: Lack) -> dict[str, Any] | None:
    kind = str(layer.get("layer_type")).lower()
    if kind not in KEYS or "layer_type" not in layer:
        lack(f"layer_type {layer.get('layer_type')}: no such layer type")
        return None
    known = dict(layer) | {"layer_type": kind}
    for key in UNREAD.get(kind, ()):
        known.pop(key, None)
    if kind in ("linear", "noisy_linear"):
        pair, sizes = known.pop("layer_dim", None), known.pop("layer_size", None)
        if isinstance(pair, list) and pair[-1:] == [HEAD]:
            return None
        known["layer_size"] = _last(pair) if pair is not None else _first(sizes)
    if kind == "noisy_linear":
        known["sigma_init"] = known.pop("std_init", 0.4)
    if kind == "norm":
        known["norm_type"] = "layer" if str(known.get("norm_type")).lower() == "layernorm" else known.get("norm_type")
    if kind == "conv2d":
        _convolution(known, lack)
    if "activation" in known:
        name = str(known["activation"]).lower()
        known["activation"] = {"leakyrelu": "leaky_relu"}.get(name, name)
    for key in [key for key in known if key not in ("layer_type", *KEYS[kind])]:
        lack(f"{key}={known.pop(key)!r} of a {kind} layer has no counterpart")
    ordered = {key: known[key] for key in ("layer_type", *KEYS[kind]) if key in known}
    return None if kind == "none" else ordered


def _last(pair: Any) -> list[Any]:
    """The outputs of a linear layer of 2022, whose `layer_dim` is [inputs, outputs]."""
    return pair[-1:] if isinstance(pair, list) else [pair]


def _first(sizes: Any) -> list[Any]:
    """The outputs of a linear layer; JoyRL reads only the first of a list of sizes."""
    return sizes[:1] if isinstance(sizes, list) else [sizes]


def _convolution(layer: dict[str, Any], lack: Lack) -> None:
    """Kernel and stride are 4 where they are left out; with stride 1 the image keeps its size ("same")."""
    layer.setdefault("kernel_size", 4)
    layer.setdefault("stride", 4)
    layer.pop("padding", None)  # which JoyRL does not read
    if layer.get("dilation") == 1:
        layer.pop("dilation")
    kernel = layer["kernel_size"]
    if layer["stride"] != 1 or kernel == 1:
        return
    sides = kernel if isinstance(kernel, list) else [kernel]
    if any(not isinstance(side, int) or side % 2 == 0 for side in sides):
        lack(f"a conv2d layer with stride 1 and an even kernel, {kernel}: JoyRL pads its sides unequally")
        return
    layer["padding"] = [side // 2 for side in sides] if isinstance(kernel, list) else kernel // 2

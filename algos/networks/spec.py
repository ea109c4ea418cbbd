"""The layer language: YAML lists of layers become checked dataclasses (torch-free; see docs/networks.md)."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from algos.common.dotted_path import import_object
from algos.common.errors import UserError, did_you_mean
from algos.networks import keys
from algos.networks.keys import Pair


@dataclass(frozen=True)
class LayerSpec:
    """One entry of a layer list; `where` is its place in the config, such as algo_cfg.value_layers[2]."""

    carries_state: ClassVar[bool] = False  # from step to step of an episode

    where: str

    def error(self, key: str, text: str) -> UserError:
        """An error about this layer, or about one `key` of it where that is not empty."""
        return UserError(f"{self.where}{'.' if key else ''}{key}: {text}")

    def check(self) -> None:
        """Raise an error for keys that contradict each other."""


@dataclass(frozen=True)
class LinearSpec(LayerSpec):
    layer_size: tuple[int, ...] = keys.key(keys.sizes, aliases=("layer_dim",))
    activation: str = keys.key(keys.activation, "relu")


@dataclass(frozen=True)
class NoisyLinearSpec(LinearSpec):
    sigma_init: float = keys.key(keys.number(lambda v: v >= 0, "of at least 0"), 0.5)


@dataclass(frozen=True)
class Conv2dSpec(LayerSpec):
    out_channel: int = keys.key(keys.whole(1))
    kernel_size: Pair = keys.key(keys.pair(1))
    stride: Pair = keys.key(keys.pair(1), (1, 1))
    padding: Pair = keys.key(keys.pair(0), (0, 0))
    in_channel: int | None = keys.key(keys.whole(1), None)
    activation: str = keys.key(keys.activation, "relu")


@dataclass(frozen=True)
class PoolingSpec(LayerSpec):
    pooling_type: str = keys.key(keys.choice(("max2d", "avg2d"), {"max": "max2d", "avg": "avg2d"}))
    kernel_size: Pair = keys.key(keys.pair(1))
    stride: Pair | None = keys.key(keys.pair(1), None)  # None: the kernel's size
    padding: Pair = keys.key(keys.pair(0), (0, 0))

    def check(self) -> None:
        if any(2 * pad > kernel for pad, kernel in zip(self.padding, self.kernel_size, strict=True)):
            raise self.error("padding", f"{self.padding} is more than half of kernel_size {self.kernel_size}")


@dataclass(frozen=True)
class EmbedSpec(LayerSpec):
    embedding_dim: int = keys.key(keys.whole(1), aliases=("layer_size", "layer_dim"))
    n_embeddings: int | None = keys.key(keys.whole(1), None)  # None: as many as the observation has values
    activation: str = keys.key(keys.activation, "none")


@dataclass(frozen=True)
class FlattenSpec(LayerSpec):
    pass


@dataclass(frozen=True)
class IdentitySpec(LayerSpec):
    pass


@dataclass(frozen=True)
class DropoutSpec(LayerSpec):
    p: float = keys.key(keys.number(lambda v: 0 <= v < 1, "of at least 0 and below 1"))


@dataclass(frozen=True)
class NormSpec(LayerSpec):
    norm_type: str = keys.key(keys.choice(("layer", "rms", "group")))
    n_groups: int | None = keys.key(keys.whole(1), None)
    activation: str = keys.key(keys.activation, "none")

    def check(self) -> None:
        if (self.norm_type == "group") != (self.n_groups is not None):
            raise self.error(
                "n_groups", f"is required by norm_type group, and only allowed there (not {self.norm_type})"
            )


@dataclass(frozen=True)
class GRUSpec(LayerSpec):
    carries_state: ClassVar[bool] = True

    layer_size: int = keys.key(keys.whole(1), aliases=("layer_dim", "hidden_dim"))
    n_layers: int = keys.key(keys.whole(1, keys.MOST_LAYERS), 1)


@dataclass(frozen=True)
class LSTMSpec(GRUSpec):
    pass


@dataclass(frozen=True)
class FSMNSpec(LayerSpec):
    carries_state: ClassVar[bool] = True

    hidden_dim: int = keys.key(keys.whole(1), 128, aliases=("layer_size", "layer_dim"))
    memory_order: int = keys.key(keys.whole(0, keys.MOST_STEPS), 8)  # earlier projections that a block remembers
    stride: int = keys.key(keys.whole(1, keys.MOST_STEPS), 1)  # steps from one of them to the next
    num_blocks: int = keys.key(keys.whole(1, keys.MOST_LAYERS), 2, aliases=("n_layers",))
    activation: str = keys.key(keys.activation, "relu")


@dataclass(frozen=True)
class AttentionSpec(LayerSpec):
    carries_state: ClassVar[bool] = True

    kind: str = keys.key(keys.choice(("flash", "linear", "hybrid")), "flash", aliases=("attention_type",))
    d_model: int = keys.key(keys.whole(1), 64, aliases=("layer_size", "layer_dim", "hidden_dim"))
    n_heads: int = keys.key(keys.whole(1), 4)
    n_layers: int = keys.key(keys.whole(1, keys.MOST_LAYERS), 1)
    dropout: float = keys.key(keys.number(lambda v: 0 <= v < 1, "of at least 0 and below 1"), 0.0)
    window: int = keys.key(
        keys.whole(1, keys.MOST_STEPS), 64
    )  # flash, hybrid: steps that the softmax sees, the present one among them
    feature_dim: int = keys.key(keys.whole(1), 32)  # linear, hybrid: features of a head's queries and keys
    gate: str = keys.key(keys.choice(("none", "gru")), "none")  # what joins a block's input and output: a sum, or a GRU

    def check(self) -> None:
        if self.d_model % (2 * self.n_heads):
            raise self.error("d_model", f"is {self.d_model}, but must be a multiple of 2 n_heads = {2 * self.n_heads}")
        if self.feature_dim % 2:
            raise self.error("feature_dim", f"is {self.feature_dim}, but must be even: positions rotate pairs")


@dataclass(frozen=True)
class ModuleSpec(LayerSpec):
    """A layer of the user's: `kind`, the class at the dotted path `name`, makes a module of `settings`."""

    name: str
    kind: Callable[..., Any]
    settings: dict[str, Any]

    @property
    def parameters(self) -> set[str]:
        """Names of what `kind` takes, as far as it can be read."""
        try:
            return set(inspect.signature(self.kind).parameters)
        except (TypeError, ValueError):
            return set()

    @property
    def takes_images(self) -> bool:
        """Whether it wants an observation as an image, not as a vector."""
        return bool({"in_channels", "shape"} & self.parameters)


LAYER_TYPES: dict[str, type[LayerSpec]] = {
    "linear": LinearSpec,
    "noisy_linear": NoisyLinearSpec,
    "conv2d": Conv2dSpec,
    "pooling": PoolingSpec,
    "embed": EmbedSpec,
    "flatten": FlattenSpec,
    "none": IdentitySpec,
    "dropout": DropoutSpec,
    "norm": NormSpec,
    "gru": GRUSpec,
    "lstm": LSTMSpec,
    "fsmn": FSMNSpec,
    "attention": AttentionSpec,
}

CARRY_STATE = f"carry state ({', '.join(name for name, spec in LAYER_TYPES.items() if spec.carries_state)})"


def any_carries_state(*lists: Any) -> bool:
    """Whether a layer of these lists carries state; errors in the lists are reported elsewhere."""
    layers = [layer for one in lists if isinstance(one, Sequence) and not isinstance(one, str) for layer in one]
    names = [str(layer.get("layer_type")) for layer in layers if isinstance(layer, Mapping)]
    return any(_carries_state(name) for name in names)


def _carries_state(name: str) -> bool:
    """Whether the layer of that type or dotted path carries state; not if there is none of that name."""
    try:
        kind = import_object(name) if is_path(name) else LAYER_TYPES.get(name.lower())
    except UserError:
        return False
    return getattr(kind, "carries_state", False)


def is_path(name: Any) -> bool:
    """Whether a layer_type is the dotted path of a user's own layer."""
    return isinstance(name, str) and (":" in name or "." in name)


def parse_layers(layers: Any, path: str) -> list[LayerSpec]:
    """Layers as YAML gives them -> specs; None and "" are the empty list.

    Raises UserError naming the place under `path`, such as algo_cfg.value_layers[2].activation.
    """
    if layers is None or layers == "":
        return []
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise UserError(f"{path}={layers!r}: expected a list of layers, each a mapping with a layer_type")
    return [parse_layer(layer, f"{path}[{index}]") for index, layer in enumerate(layers)]


def parse_layer(layer: Any, where: str) -> LayerSpec:
    """One layer as YAML gives it -> its spec; UserError naming the place, such as `where`.layer_size."""
    if not isinstance(layer, Mapping):
        raise UserError(f"{where}={layer!r}: expected a mapping such as {{layer_type: linear, layer_size: 64}}")
    if "layer_type" not in layer:
        raise UserError(f"{where}.layer_type: missing; choose from {', '.join(LAYER_TYPES)}")
    if is_path(layer["layer_type"]):
        return _parse_own(layer, where)
    layer_type = _read(keys.choice(tuple(LAYER_TYPES)), layer["layer_type"], f"{where}.layer_type")
    spec_type = LAYER_TYPES[layer_type]
    fields = {field.name: field for field in dataclasses.fields(spec_type) if "read" in field.metadata}
    names = {alias: name for name, field in fields.items() for alias in (name, *field.metadata["aliases"])}
    values: dict[str, Any] = {}
    for key, value in layer.items():
        if key == "layer_type":
            continue
        if key not in names:
            raise UserError(f"{where}.{key}: unknown key ({did_you_mean(str(key), [*names, 'layer_type'])})")
        name = names[key]
        if name in values:
            both = " and ".join(other for other in layer if names.get(other) == name)
            raise UserError(f"{where}.{key}: {both} mean the same; give only one")
        if value is None and fields[name].default is None:
            values[name] = None
        else:
            values[name] = _read(fields[name].metadata["read"], value, f"{where}.{key}")
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise UserError(f"{where}.{name}: missing; a {layer_type} layer needs it")
    spec = spec_type(where, **values)
    spec.check()
    return spec


def _parse_own(layer: Mapping[str, Any], where: str) -> ModuleSpec:
    """A layer whose layer_type is a dotted path; its settings are checked when it is built."""
    name = layer["layer_type"]
    kind = import_object(name, f"{where}.layer_type={name}")
    if not callable(kind):
        raise UserError(f"{where}.layer_type={name} must be a class, not a value of type {type(kind).__name__}")
    return ModuleSpec(where, name, kind, {key: value for key, value in layer.items() if key != "layer_type"})


def _read(read: Callable[[Any], Any], value: Any, key: str) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise UserError(f"{key}={value!r}: {error}") from None

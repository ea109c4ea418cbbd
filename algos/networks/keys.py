"""The keys of layers: how a YAML value is checked and converted, or what is allowed (torch-free)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from algos.common.errors import did_you_mean
from algos.common.settings import LARGEST

Pair = tuple[int, int]
MOST_LAYERS = 1000  # of one entry of a list
MOST_STEPS = 100_000  # that a layer remembers
TOO_LARGE = "expected a whole number below 2^63"
ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "softmax",
    "none",
)


def key(read: Callable[[Any], Any], default: Any = dataclasses.MISSING, aliases: tuple[str, ...] = ()) -> Any:
    """A field of a layer: `read` checks a YAML value and converts it, or raises ValueError with what is allowed."""
    return dataclasses.field(default=default, metadata={"read": read, "aliases": aliases}, kw_only=True)


def whole(low: int, most: int = LARGEST - 1) -> Callable[[Any], int]:
    """A whole number of at least `low`, and at most `most`."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"expected a whole number of at least {low}")
        if value > most:
            raise ValueError(f"expected a whole number of at most {most}" if most < LARGEST - 1 else TOO_LARGE)
        return value

    return read


def sizes(value: Any) -> tuple[int, ...]:
    """A size, or a list of them."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        found = tuple(whole(1)(size) for size in values)
    except ValueError:
        found = ()
    if not found:
        if any(isinstance(size, int) and size >= LARGEST for size in values):
            raise ValueError(TOO_LARGE)
        raise ValueError("expected a whole number of at least 1, or a list of them such as [256, 128]")
    return found


def pair(low: int) -> Callable[[Any], Pair]:
    """One number for height and width, or both."""

    def read(value: Any) -> Pair:
        both = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value, value]
        try:
            height, width = (whole(low)(size) for size in both)
        except ValueError:
            raise ValueError(f"expected a whole number of at least {low}, or two of them [height, width]") from None
        return height, width

    return read


def number(allowed: Callable[[float], bool], text: str) -> Callable[[Any], float]:
    """A number that is `allowed`; `text` says which are."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not allowed(value):
            raise ValueError(f"expected a number {text}")
        return float(value)

    return read


def choice(options: Sequence[str], aliases: Mapping[str, str] | None = None) -> Callable[[Any], str]:
    """One of `options` in any case; `aliases` are other names for them."""

    def read(value: Any) -> str:
        name = "none" if value is None else str(value).lower()
        name = (aliases or {}).get(name, name)
        if name not in options:
            hint = did_you_mean(name, options)
            near = f" ({hint})" if hint.startswith("did") else ""
            raise ValueError(f"choose from {', '.join(options)}{near}")
        return name

    return read


activation = choice(ACTIVATIONS, {"identity": "none"})

"""Arguments as YAML can write them -> as a class asks for them: lists become tuples or arrays."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_TAKES_LISTS = ("list", "sequence", "iterable", "collection")


def as_annotated(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """`kwargs` with a list as a tuple, or as an array, where `function` is annotated with that and with no list.

    A tuple's inner lists become tuples, too. What has no annotation is handed on as it is.
    """
    annotations = _annotations(function) if any(isinstance(value, list) for value in kwargs.values()) else {}
    return {name: _fitted(value, annotations.get(name, "")) for name, value in kwargs.items()}


def _annotations(function: Callable[..., Any]) -> dict[str, str]:
    """Text of each parameter's annotation, aliases resolved where they can be."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except (TypeError, ValueError):  # no signature to read
        return {}
    except Exception:  # an annotation that is imported for type checkers alone
        signature = inspect.signature(function)
    return {name: str(parameter.annotation).lower() for name, parameter in signature.parameters.items()}


def _fitted(value: Any, annotation: str) -> Any:
    if not isinstance(value, list) or any(word in annotation for word in _TAKES_LISTS):
        return value
    if "tuple" in annotation:
        return _tuples(value)
    if "ndarray" not in annotation:
        return value
    array = np.array(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array  # as Gymnasium's spaces are by default


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

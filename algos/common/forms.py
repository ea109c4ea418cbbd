"""What saved state must look like before it is taken over: a form is a function that raises ValueError (torch-free)."""

from collections.abc import Callable
from typing import Any

import numpy as np

Form = Callable[[Any, str], None]


def number(value: Any, where: str) -> None:
    """A number."""
    _require(isinstance(value, int | float) and not isinstance(value, bool), where, value, "a number")


def count(value: Any, where: str) -> None:
    """A whole number."""
    _require(type(value) is int and abs(value) < 2**63, where, value, "a whole number")


def text(value: Any, where: str) -> None:
    """A text."""
    _require(isinstance(value, str), where, value, "a text")


def flag(value: Any, where: str) -> None:
    """True or False."""
    _require(isinstance(value, bool), where, value, "true or false")


def anything(value: Any, where: str) -> None:
    """Whatever it is."""


def mapping(value: Any, where: str) -> None:
    """A mapping with texts as keys."""
    _require(isinstance(value, dict) and all(isinstance(key, str) for key in value), where, value, "a mapping of texts")


def maybe(form: Form) -> Form:
    """None, or what the form says."""
    return lambda value, where: None if value is None else form(value, where)


def listed(*forms: Form) -> Form:
    """A list or tuple: of one form with any length, or of one entry for each of several forms."""

    def check(value: Any, where: str) -> None:
        right = isinstance(value, list | tuple) and (len(forms) == 1 or len(value) == len(forms))
        _require(right, where, value, "a list" if len(forms) == 1 else f"a list of {len(forms)}")
        for index, item in enumerate(value):
            forms[index % len(forms)](item, f"{where}[{index}]")

    return check


def by_name(form: Form) -> Form:
    """A mapping of names to values of one form."""

    def check(value: Any, where: str) -> None:
        mapping(value, where)
        for name, item in value.items():
            form(item, f"{where}.{name}")

    return check


def record(optional: tuple[str, ...] = (), **forms: Form) -> Form:
    """A mapping with these keys, of which the `optional` ones may be missing, and any others."""

    def check(value: Any, where: str) -> None:
        mapping(value, where)
        for name, form in forms.items():
            if name in value:
                form(value[name], f"{where}.{name}")
            elif name not in optional:
                raise ValueError(f"{where} has no {name!r}")

    return check


def check_like(own: Any, saved: Any, where: str) -> None:
    """Raise ValueError unless a saved tree has the containers of `own`, and arrays of the same shapes and kinds."""
    if isinstance(own, dict):
        _require(isinstance(saved, dict) and own.keys() == saved.keys(), where, saved, f"a mapping of {sorted(own)}")
        for name, value in own.items():
            check_like(value, saved[name], f"{where}.{name}")
    elif isinstance(own, tuple):
        _require(isinstance(saved, tuple) and len(own) == len(saved), where, saved, f"a tuple of {len(own)}")
        for index, value in enumerate(own):
            check_like(value, saved[index], f"{where}[{index}]")
    else:
        check_rows(saved, where, tuple(own.shape))
        kind = getattr(own.dtype, "kind", saved.dtype.kind)  # of a tensor the shape is compared alone
        _require(saved.dtype.kind == kind, where, saved, f"an array of {own.dtype}")


def check_rows(saved: Any, where: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless it is an array whose shape begins with `shape`."""
    right = isinstance(saved, np.ndarray) and saved.shape[: len(shape)] == shape
    _require(right, where, saved, f"an array of shape {shape}")


def _require(right: bool, where: str, value: Any, wanted: str) -> None:
    if not right:
        what = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{type(value).__name__}"
        raise ValueError(f"{where} is {what}, not {wanted}")

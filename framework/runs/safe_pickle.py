"""Reads untrusted pickles: only plain containers and numpy arrays of numbers.

Nothing that the file names is ever called: the few globals of a pickled array stand for small classes of this
module, which keep the parts and are checked before numpy sees them.
"""

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from algos.common.errors import UserError


class Forbidden(UserError):
    """A pickle names something that must not be loaded."""


class DType:
    """A dtype as its pickled parts."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(part is not None for part in state[2:5]):  # sub-dtype, names, fields
            raise ValueError("an array of records")
        self.order = state[1]

    def value(self) -> np.dtype:
        # A kind and a size: numpy parses and evaluates longer codes.
        if not isinstance(self.code, str) or not re.fullmatch(r"[biufcSU][0-9]{1,6}", self.code):
            raise ValueError(f"an array of dtype {self.code!a}, not of numbers")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


class Array:
    """An array as its pickled parts: shape, dtype, raw bytes, order in memory."""

    def __init__(self) -> None:
        self.parts: tuple[Any, ...] = ((0,), DType("f8"), b"", "C", None)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.parts = (shape, dtype, data, "F" if fortran else "C", None)

    def value(self) -> np.ndarray:
        """The array itself; ValueError or TypeError if the parts do not make one of numbers."""
        shape, dtype, data, order, axes = self.parts
        if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray):
            raise TypeError("an array of Python objects, not of numbers")
        kind = dtype.value()
        if not data:
            return np.empty(0, kind).reshape(shape)
        flat = np.frombuffer(data, kind)
        return (flat.reshape(shape, order=order) if axes is None else flat.reshape(shape).transpose(axes)).copy()


def load_plain(path: Path | str) -> Any:
    """What the pickle at `path` holds, its arrays as `Array`; UserError if it is missing, torn or not plain."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except Forbidden as error:
        raise UserError(f"{path} is refused: {error}; only numpy arrays and plain containers are loaded") from None
    except Exception as error:  # a torn pickle ends in any of a dozen errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is truncated or corrupt: {reason}") from None


# The unpickler in Python: of one spoilt byte in an index, the one in C fills gigabytes before it gives up.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _GLOBALS.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise Forbidden(f"it names {f'{module}.{name}'!a}")
        return lambda *arguments: known(*arguments)  # a new one each time: a pickle may set attributes on it

    def load_bytearray(self: Any) -> None:
        """Read no more than there is: the original first reserves as much as the pickle claims."""
        size = int.from_bytes(self.read(8), "little")
        self.append(self.read(size))

    dispatch: ClassVar[Any] = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: load_bytearray}


def _reconstruct(*_: Any) -> Array:
    return Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> Array:
    array = Array()
    array.parts = (shape, dtype, data, order, axes if order == "K" else None)
    return array


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how bytes are written by pickle's first protocols
        raise Forbidden(f"it names the codec {encoding}")
    return text.encode(encoding)


def _no_bytes() -> bytes:
    """How the bytes of an empty array are written by pickle's first protocols."""
    return b""


_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): DType,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _no_bytes,
}

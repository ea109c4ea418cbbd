"""Reads untrusted pickles: only plain containers and numpy arrays of numbers.

Nothing that the file names is ever called: the few globals of a pickled array stand for small classes of this
module, which keep the parts and are checked before numpy sees them. Torch's files are read by torch itself; what they
may hold and how large they may become is checked here too.
"""

import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from algos.common.errors import UserError
from framework.runs.files import open_plain

MARK = b"crc:"  # begins the bytes behind an item that hold its checksum; any reader drops them
DEPTH = 100  # of containers in each other
SPARE = 2**26  # bytes that a small file may grow to in memory


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
        code = re.fullmatch(r"([<>|=]?)([biufcSU][0-9]{1,6})", self.code) if isinstance(self.code, str) else None
        if code is None:
            raise ValueError(f"an array of dtype {self.code!a}, not of numbers")
        return np.dtype(code[2]).newbyteorder(code[1] or self.order)  # type: ignore[arg-type]


class Array:
    """An array as its pickled parts: shape, dtype, raw bytes, order in memory."""

    def __init__(self, shape: Any = (0,), dtype: Any = "f8", data: Any = b"") -> None:
        """By numpy.ndarray(shape, dtype, buffer), or empty for `__setstate__` to fill."""
        kind = DType(dtype) if isinstance(dtype, str) else dtype
        self.parts: tuple[Any, ...] = (shape, kind, data, "C", None)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.parts = (shape, dtype, data, "F" if fortran else "C", None)

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        data = self.parts[2]
        return len(data) if isinstance(data, bytes | bytearray) else 0

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
    """What the pickle at `path` holds, its arrays as `Array`; UserError if it is missing, torn or not plain.

    Where the items of a list have checksums, these are compared.
    """
    with open_plain(path) as file:
        try:
            reader = _Unpickler(_Summed(file))
            content = reader.load()
            if reader.sums and not (isinstance(content, list) and len(content) == reader.sums):
                raise ValueError("an item has no checksum")
            check_tree(content, file.tell())
        except Forbidden as error:
            raise UserError(f"{path} is refused: {error}; only numpy arrays and plain containers are loaded") from None
        except OSError:
            raise
        except Exception as error:  # a torn pickle ends in any of a dozen errors
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path} is truncated or corrupt: {reason}") from None
    return content


def check_tree(tree: Any, size: int) -> None:
    """Raise ValueError for a tree that cannot be what a file of `size` bytes says once.

    A list of the same list, of the same list, ... takes a few bytes and never ends when it is walked through.
    """
    nodes, held, waiting = 1000 + size, 4 * size + SPARE, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        nodes, held = nodes - 1, held - _nbytes(node)
        if nodes < 0 or held < 0 or depth > DEPTH:
            raise ValueError("it refers to the same parts again and again, or is nested too deeply")
        if isinstance(node, dict):
            waiting += [(item, depth + 1) for pair in node.items() for item in pair]
        elif isinstance(node, list | tuple):
            waiting += [(item, depth + 1) for item in node]


def _nbytes(node: Any) -> int:
    """Bytes of an array, a tensor or a text."""
    if isinstance(node, str | bytes | bytearray):
        return len(node)
    found = getattr(node, "nbytes", 0)
    return found if isinstance(found, int) else 0


def check_archive(content: bytes, *, sums: bool) -> None:
    """Raise ValueError, or zipfile's error, for a zip file that would grow without measure.

    With `sums` for a damaged one too.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > len(content) + SPARE:
            raise ValueError("it holds more than its size allows")
        damaged = archive.testzip() if sums else None  # reads all and compares the checksums
        if damaged is not None:
            raise ValueError(f"{damaged} does not have its checksum")


class _Summed:
    """A file that knows the CRC-32 of what has been read since it was last set to 0."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.crc = file, 0

    def read(self, size: int) -> bytes:
        return self._summed(self.file.read(size))

    def readline(self) -> bytes:
        return self._summed(self.file.readline())

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _summed(self, data: bytes) -> bytes:
        self.crc = zlib.crc32(data, self.crc)
        return data


# The unpickler in Python: of one spoilt byte in an index, the one in C fills gigabytes before it gives up.
class _Unpickler(pickle._Unpickler):
    def __init__(self, source: _Summed) -> None:
        super().__init__(source)
        self.source, self.sums = source, 0  # how many checksums were right

    def find_class(self, module: str, name: str) -> Any:
        known = _GLOBALS.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise Forbidden(f"it names {f'{module}.{name}'!a}")
        return lambda *arguments: known(*arguments)  # a new one each time: a pickle may set attributes on it

    def load_bytearray(self: Any) -> None:
        """Read no more than there is: the original first reserves as much as the pickle claims."""
        size = int.from_bytes(self.read(8), "little")
        self.append(self.read(size))

    def load_short_bytes(self: Any) -> None:
        """Bytes; if they are a checksum, of all that was read since the last one, they are compared."""
        crc = self.source.crc
        value = self.read(self.read(1)[0])
        self.append(value)
        if value[: len(MARK)] == MARK and len(value) == len(MARK) + 4:
            if value[len(MARK) :] != crc.to_bytes(4, "little"):
                raise ValueError(f"item {self.sums} does not have its checksum")
            self.sums += 1
            self.source.crc = 0

    dispatch: ClassVar[Any] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: load_bytearray,
        pickle.SHORT_BINBYTES[0]: load_short_bytes,
    }


def _reconstruct(*_: Any) -> Array:
    return Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> Array:
    array = Array(shape, dtype, data)
    array.parts = (shape, dtype, data, order, axes if order == "K" else None)
    return array


def _scalar(dtype: Any, data: Any = b"") -> Array:
    """A single number of numpy's, such as a reward: an array without axes."""
    return Array((), dtype, data)


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how bytes are written by pickle's first protocols
        raise Forbidden(f"it names the codec {encoding}")
    return text.encode(encoding)


def _no_bytes() -> bytes:
    """How the bytes of an empty array are written by pickle's first protocols."""
    return b""


def _byte_array(data: bytes = b"") -> bytes:
    """Bytes that can be written to; `bytearray(number)` would take that much memory."""
    if not isinstance(data, bytes):
        raise TypeError("bytes that are none")
    return data


_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): DType,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytearray"): _byte_array,
}

"""Atomic writing of files, with one-line errors."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from algos.common.errors import UserError

_serial = itertools.count()  # tells apart the temporary files of one process


@contextmanager
def writing(path: Path | str, hint: str = "") -> Iterator[None]:
    """Turn the operating system's refusal to write `path` (rights, read-only, disk full) into a one-line UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}{hint}") from error


def temporary_name(path: Path) -> Path:
    """A free hidden name beside `path`, on the same file system, so that it can be renamed to `path` at once."""
    return path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}.tmp")


def atomic_write(path: Path | str, content: bytes | Callable[[BinaryIO], Any]) -> None:
    """Write a file so that `path` holds either its old content or the whole new one, whatever kills the process.

    `content` is the bytes, or a function that writes them to the open binary file it is given. UserError if the
    file cannot be written.
    """
    path = Path(path)
    temporary = temporary_name(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

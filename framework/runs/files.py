"""Files of runs: reading those that may be from strangers, atomic writing, with one-line errors."""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from algos.common.errors import Outage, UserError

TEXT_BYTES = 16 * 2**20  # more than any YAML, JSON or CSV file of settings has
LARGE = 2**30  # bytes from which a file's size is compared with what it takes on the disk
WANDB = "wandb"  # the folder of Weights & Biases, which links from one of its places to another

_serial = itertools.count()  # tells apart the temporary files of one process


class WriteError(Outage):
    """The operating system refused to write a file of a run."""


@contextmanager
def writing(path: Path | str, hint: str = "") -> Iterator[None]:
    """Turn the operating system's refusal to write `path` (rights, read-only, disk full) into a one-line WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}{hint}") from error
    except UnicodeEncodeError as error:
        raise WriteError(
            f"cannot write {path}: file names are in {error.encoding} here; set PYTHONUTF8=1, or a locale of UTF-8"
        ) from error


@contextmanager
def open_plain(path: Path | str, limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a file to read, if it is a plain one of a sane size: at most `limit` bytes, or what the memory holds.

    UserError for a missing or unreadable file, a folder, a pipe, a device, and one that is too large or mostly holes.
    """
    try:
        found = os.stat(path)
        problem = _problem(found, limit)
        if problem:
            raise UserError(f"cannot read {path}: {problem}")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"cannot read {path}: no such file") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def read_plain(path: Path | str, limit: int | None = None) -> bytes:
    """The content of a file, opened by `open_plain`."""
    with open_plain(path, limit) as file:
        return file.read()


def read_text(path: Path | str) -> str:
    """The text of a file in UTF-8, a byte order mark left out; UserError as of `open_plain`, and for other text."""
    content = read_plain(path, TEXT_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is not UTF-8 text (byte {error.start})") from None


def refuse_links(folder: Path, *, to_write: bool) -> None:
    """Raise UserError, with its name, for anything in a run's folder that is no plain file or folder of its own.

    A link would have files outside of the run read, or overwritten where the run continues. With `to_write` this goes
    for hard links too: a file of another name would change with the run's.
    """
    for place in _all_in(folder):
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            if not _stays_in_wandb(place, folder):
                raise UserError(
                    f"{place} is a link to {os.readlink(place)}: a run with links in its folder is not opened; replace"
                    " it by what it shows, or delete it"
                )
        elif not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise UserError(f"{place} is no plain file (a pipe, a socket or a device); delete it to open this run")
        elif to_write and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise UserError(
                f"{place} is a hard link: a file elsewhere would change with it; copy the run (cp -r) and resume that"
            )


def _all_in(folder: Path) -> Iterator[Path]:
    """Everything below a folder, links not followed."""
    folders = [folder]
    while folders:
        place = folders.pop()
        try:
            entries = sorted(place.iterdir())
        except OSError as error:
            raise UserError(f"cannot read {place}: {error.strerror or error}") from error
        yield from entries
        folders += [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]


def _stays_in_wandb(link: Path, run: Path) -> bool:
    own = (run / WANDB).resolve()
    return own in link.absolute().parents and own in link.resolve().parents and not (run / WANDB).is_symlink()


def _problem(found: os.stat_result, limit: int | None) -> str:
    if stat.S_ISDIR(found.st_mode):
        return "it is a folder"
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file (a pipe or a device)"
    if found.st_size > LARGE and getattr(found, "st_blocks", found.st_size) * 512 < found.st_size // 4:
        return "most of it is holes: it was not copied to its end"
    most = _memory() if limit is None else limit
    return f"it has {found.st_size:,} bytes, and at most {most:,} are read" if found.st_size > most else ""


def _memory() -> int:
    """Bytes of this machine's memory; where it is not known, more than any file has."""
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 2**62


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

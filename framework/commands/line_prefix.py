"""What becomes of output: jobs that run in parallel have their numbers before it; a reader who left ends nothing."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from algos.common.errors import UserError


class LinePrefix:
    """A text stream that hands whole lines on, each with a prefix and by one write. It is no terminal."""

    encoding = "utf-8"

    def __init__(self, stream: TextIO, prefix: str):
        self.stream, self.prefix = stream, prefix
        self.begun = ""  # of a line without its end yet

    def write(self, text: str) -> int:
        lines = (self.begun + text).split("\n")
        self.begun = lines.pop()
        if lines:
            self.stream.write("".join(f"{self.prefix}{line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return False

    def finish(self) -> None:
        """Hand on a last line without an end."""
        if self.begun:
            self.write("\n")
        self.flush()


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Begin every line of this process's stdout and stderr with `prefix`."""
    old = sys.stdout, sys.stderr
    out, err = LinePrefix(sys.stdout, prefix), LinePrefix(sys.stderr, prefix)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = old
        out.finish()
        err.finish()


class _Stdout:
    """stdout as it is, until its reader has gone (`| head`): then what is written goes nowhere."""

    def __init__(self, file: Any):
        self.file = file

    def write(self, text: str) -> int:
        with self._lasting():
            self.file.write(text)
        return len(text)

    def flush(self) -> None:
        with self._lasting():
            self.file.flush()

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        """UserError where the output cannot be written, for a full disk say."""
        try:
            yield
        except BrokenPipeError:
            self._to_nowhere()
        except OSError as error:
            self._to_nowhere()
            raise UserError(f"cannot write the output: {error.strerror or error}") from error
        except ValueError:  # code of the user's has closed it
            if not self.file.closed:
                raise

    def _to_nowhere(self) -> None:
        """For Python too, which would complain at its end of what it could not write."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextmanager
def lasting_stdout() -> Iterator[None]:
    """Let nothing fail because nobody reads stdout any more; inside another such block this changes nothing."""
    old = sys.stdout
    if old is None or isinstance(old, _Stdout):
        yield
        return
    sys.stdout = lasting = cast(TextIO, _Stdout(old))
    try:
        yield
    finally:
        lasting.flush()
        if sys.stdout is lasting:
            sys.stdout = old

"""Prefixes the output of jobs that run in parallel with their numbers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


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

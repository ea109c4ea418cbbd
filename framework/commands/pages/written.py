"""Pages that a command writes from what they tell of: written, or only compared."""

import sys
from collections.abc import Sequence
from pathlib import Path

from framework.runs.files import atomic_write

COMMAND = "make tables"


def write_or_check(page: Path, new: str, module: str, argv: Sequence[str]) -> int:
    """Write the page; with --check say only whether it is up to date. The exit code: 1 if it was not."""
    if [*argv] not in ([], ["--check"]):
        print(f"error: usage: python -m {module} [--check]", file=sys.stderr)
        return 2
    if page.exists() and page.read_text(encoding="utf-8") == new:
        print(f"{page.name} is up to date")
        return 0
    if argv:
        print(f"{page.name} is out of date: {COMMAND}")
        return 1
    atomic_write(page, new.encode())
    print(f"{page.name} is written")
    return 0

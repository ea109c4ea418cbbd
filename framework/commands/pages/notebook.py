"""docs/quickstart.ipynb: docs/library.md as a notebook without outputs, made by `make tables`."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from framework.commands.pages.written import write_or_check
from framework.runs.checkout import ROOT

PAGE = ROOT / "docs" / "library.md"
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def cells(text: str) -> list[dict[str, Any]]:
    """The cells of a notebook: blocks of Python as code, a cell of text for each section and around them."""
    found: list[dict[str, Any]] = []
    for i, part in enumerate(CODE.split(text)):
        pieces = [part] if i % 2 else re.split(r"^(?=##+ )", part, flags=re.MULTILINE)
        for piece in filter(None, (piece.strip("\n") for piece in pieces)):
            source = piece.splitlines(keepends=True)
            cell = {"cell_type": "markdown", "id": f"cell-{len(found)}", "metadata": {}, "source": source}
            if i % 2:
                cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
            found.append(cell)
    return found


def notebook() -> str:
    """The text of docs/quickstart.ipynb."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    found = cells(PAGE.read_text(encoding="utf-8"))
    whole = {"cells": found, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(argv: Sequence[str]) -> int:
    """Write the notebook; with --check say only whether it is up to date. The exit code: 1 if it was not."""
    return write_or_check(NOTEBOOK, notebook(), "framework.commands.pages.notebook", argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

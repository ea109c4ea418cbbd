"""Detects user modules that are hidden by others with the same name (torch-free)."""

import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

OWN = ("algos", "envs", "framework")  # names that a project of the user's may have too


class HiddenModule(ModuleNotFoundError):
    """A module that one of the user's would be, were its package not hidden by Joyride's of that name."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(f"no module named {module!r}: {reason}")  # without `name`: else `from` words it in its own way
        self.module, self.reason = module, reason


class Guard(MetaPathFinder):
    """Asked last, once a module of Joyride's own packages was found nowhere: says whether the user's hidden one has it.

    Python's message alone would be "no module named 'envs.mine'", beside a file envs/mine.py.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Raise HiddenModule if a package of the user's is hidden; else nothing is found here."""
        reason = why_hidden(name) if "." in name and name.partition(".")[0] in OWN else ""
        if reason:
            raise HiddenModule(name, reason)


def stand_guard() -> None:
    """Have imports that find nothing ask the guard; twice is once."""
    if not any(type(finder).__name__ == Guard.__name__ for finder in sys.meta_path):
        sys.meta_path.append(Guard())


def why_hidden(module: str) -> str:
    """What hides a module of the user's, and what to do; empty if nothing of the user's has that name."""
    top, imported = module.partition(".")[0], None
    if top in sys.modules:
        imported = _place(sys.modules[top])
    theirs = _theirs(module, imported) if imported is not None else None
    if theirs is None:
        return ""
    whose = "Joyride's own package" if top in OWN else "imported from"
    return (
        f"{top!r} is {whose} {imported}, which hides {_shown(theirs)}; rename your {top!r}, or move it into a package"
        f" of another name (mine.{module}, say)"
    )


def _place(module: Any) -> Path | None:
    """The folder of an imported package or the file of a module; None for one that is built in."""
    place = next(iter(getattr(module, "__path__", ())), getattr(module, "__file__", None))
    return Path(place).resolve() if place else None


def _theirs(module: str, imported: Path | None) -> Path | None:
    """The file that the user has of a module, in the working folder or beside the script; else of its package."""
    top = module.partition(".")[0]
    for folder in (Path.cwd(), *(Path(entry or ".").resolve() for entry in sys.path)):
        if imported in (folder / top, folder / f"{top}.py"):
            continue
        for name in (module, top):
            stem = folder.joinpath(*name.split("."))
            for path in (stem.with_suffix(".py"), stem / "__init__.py"):
                if path.is_file():
                    return path
    return None


def _shown(path: Path) -> str:
    """A path, relative to the working folder where it lies in it."""
    return os.path.join(".", os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else str(path)

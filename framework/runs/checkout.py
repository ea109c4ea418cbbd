"""Where the code is, whatever the working directory: in a checkout, or among the installed packages."""

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_INSTALLED = ROOT / "framework" / "config"  # where pyproject.toml has pip put config/
CONFIG_DIR = _INSTALLED if _INSTALLED.is_dir() else ROOT / "config"
IS_CHECKOUT = CONFIG_DIR.parent == ROOT


def import_own_packages(*names: str) -> None:
    """Import Joyride's own packages of these names, even where a package of the user's stands before them on the path.

    Raises ImportError if a package of the user's with that name is already imported.
    """
    sys.path.insert(0, str(ROOT))
    try:
        for name in names:
            module = import_module(name)
            found = Path(next(iter(getattr(module, "__path__", ())), getattr(module, "__file__", None) or "?"))
            if found.resolve() != ROOT / name:
                raise ImportError(
                    f"Joyride has a package named {name!r} ({ROOT / name}), but another {name!r} is already imported:"
                    f" {found}. Rename that one, or move it into another package"
                )
    finally:
        sys.path.remove(str(ROOT))

"""How updates are compiled: what torch.compile is told, and the C++ compiler that it needs."""

import inspect
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import torch


def _guards_of_inputs(guards: Sequence[Any]) -> list[bool]:
    """Which guards of a graph are looked at in each call: those of what is handed in.

    Networks, settings and the optimiser's tensors stay what they were; to look at all of them costs a tenth of an
    update. A graph must then be isolated, so that no other one of the same lines is taken for it.
    """
    return [guard.name.startswith("inputs") or guard.guard_type == "SHAPE_ENV" for guard in guards]


OF_GRAPHS: dict[str, Any] = {}  # further arguments of torch.compile; an older torch looks at all guards
if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
    OF_GRAPHS = {
        # the asserts would look once more at what guards have looked at
        "options": {"guard_filter_fn": _guards_of_inputs, "size_asserts": False, "alignment_asserts": False},
        "isolate_recompiles": True,
    }


def missing_compiler() -> str | None:
    """The C++ compiler that torch would call, if it is missing."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    name = os.environ.get("CXX") or usual
    return None if shutil.which(name) else name

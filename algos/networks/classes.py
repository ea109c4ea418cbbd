"""Finds network classes that a config names instead of a list of layers (torch-free)."""

from typing import Any

from algos.common.dotted_path import MalformedPath, import_object
from algos.common.errors import UserError, did_you_mean

READY_MADE = {name: f"algos.networks.ready_made:{name}" for name in ("MLPActor", "MLPCritic", "CNNActor", "CNNCritic")}


def find_class(path: str, where: str) -> Any:
    """The class at "package.module:Class", or a ready-made class by name; `where` is the key in the config.

    Raises UserError if there is none.
    """
    place = f"{where}={path}"
    try:
        found = import_object(READY_MADE.get(path, path), place)
    except MalformedPath:
        known = did_you_mean(path, READY_MADE)
        raise UserError(f"{place}: expected package.module:Class, or a ready-made class; {known}") from None
    except UserError:
        if path.startswith("__main__:"):
            raise UserError(
                f"{place}: this class was defined in the script that saved the run, not in this one; move it to a"
                " module"
                " and give its path"
            ) from None
        raise
    if not isinstance(found, type):
        raise UserError(f"{place} is a {type(found).__name__}; expected a class, a subclass of torch.nn.Module")
    return found


def carries_state(kind: Any) -> bool:
    """Whether networks of a class carry state from step to step: those that have `init_state`, unless they deny it."""
    return bool(getattr(kind, "carries_state", hasattr(kind, "init_state")))

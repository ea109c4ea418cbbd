"""Finds classes by their dotted paths, and checks the arguments for them (torch-free)."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from typing import Any

from algos.common.errors import UserError, did_you_mean
from algos.common.hidden import HiddenModule, why_hidden


class MalformedPath(UserError):
    """A path that cannot name a class."""


class MissingModule(UserError):
    """The module of a path, or a package that holds it, does not exist; `name` says which, `hidden` what hides it."""

    def __init__(self, name: str, start: str, hidden: str) -> None:
        super().__init__(f"{start}no module named {name!r}" + (hidden or " here or among the installed packages"))
        self.name, self.hidden = name, hidden


def import_object(path: str, where: str = "") -> Any:
    """The object at "package.module:Name" or "package.module.Name"; the working directory is searched too.

    `where` begins the messages of errors. Raises MalformedPath, MissingModule, and UserError if the module lacks the
    name; an error inside the module keeps its traceback.
    """
    module_name, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not name or module_name.startswith("."):
        raise MalformedPath(f"{where or path} must look like package.module:Class")
    module = import_module(module_name, where)
    if not hasattr(module, name):
        classes = [entry for entry, value in vars(module).items() if inspect.isclass(value)]
        hint = why_hidden(module_name) or did_you_mean(name, classes)
        raise UserError(f"{_start(where)}module {module_name!r} has no {name!r}; {hint}")
    return getattr(module, name)


def import_module(name: str, where: str = "") -> Any:
    """A module by its absolute name, from the working directory too; MissingModule if there is none."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # a user's own modules lie where the command is started
    try:
        return importlib.import_module(name)
    except HiddenModule as error:
        raise MissingModule(error.module, _start(where), f": {error.reason}") from error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not missing or not f"{name}.".startswith(f"{missing}."):
            raise  # a module that the user's own one imports
        reason = why_hidden(name)
        raise MissingModule(missing, _start(where), f": {reason}" if reason else "") from error
    except SystemExit as error:
        raise UserError(
            f"{_start(where)}module {name!r} {called_exit(error)} when it is imported; put what it runs below"
            " if __name__ == '__main__':"
        ) from error


def called_exit(stop: SystemExit) -> str:
    """What code of the user's did that ends the program, in words."""
    return f"calls sys.exit({'' if stop.code is None else repr(stop.code)})"


def path_of(kind: type, where: str) -> str:
    """ "package.module:Class" of a class; one of the program that is running is "__main__:Class".

    `where` begins the message of a UserError if nothing but the object itself leads to the class.
    """
    name, module = kind.__qualname__, sys.modules.get(kind.__module__)
    if "." in name or module is None:
        raise UserError(
            f"{where}: {name} is defined inside a function or class, where a saved run cannot find it; move it to the"
            " top level"
        )
    if getattr(module, name, None) is not kind:
        raise UserError(f"{where}: {kind.__module__}:{name} is no longer the class that was given")
    return f"{kind.__module__}:{name}"


def check_kwargs(function: Any, kwargs: Mapping[str, Any], where: str, given: int = 0) -> None:
    """Raise UserError unless `function` takes `kwargs` after its first `given` positional arguments."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[given:]
    except (TypeError, ValueError):  # no signature to read: the call itself will tell
        return
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    free = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for unknown in [] if free else sorted(kwargs.keys() - named):
        raise UserError(f"{where} has no parameter {unknown!r}; {did_you_mean(unknown, named)}")
    for parameter in parameters:
        if parameter.name in named and parameter.default is parameter.empty and parameter.name not in kwargs:
            raise UserError(f"{where} needs the parameter {parameter.name!r}")


def _start(where: str) -> str:
    return f"{where}: " if where else ""

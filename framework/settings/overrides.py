"""Sorts the user's overrides (`lr=1e-3 algo_name=PPO hydra/launcher=joblib`) and writes them out in full."""

import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from algos.common.dotted_path import path_of
from algos.common.errors import UserError
from framework.settings.hydra_private import Override
from framework.settings.keys import Sections, expand_key, field_type, fit, is_free
from framework.settings.schema import SECTIONS

GROUP_OF_NAME = {"algo_name": "algo_cfg", "env_name": "env_cfg"}  # these keys choose a group's option
HYDRAS_FOLDERS = r"hydra\.(run|sweep)(\.\w+)?|hydra\.output_subdir|hydra\.job\.chdir"
GROUPS = (*SECTIONS, "preset")


@dataclass
class Overrides:
    """The user's overrides by what they do."""

    choices: dict[str, str] = field(default_factory=dict)  # group -> option
    settings: list[Override] = field(default_factory=list)
    hydra: list[str] = field(default_factory=list)


def sort_overrides(overrides: Sequence[Override]) -> Overrides:
    """Sort overrides into choices of groups, settings, and Hydra's own.

    Raises UserError for a sweep, and for two different choices of one group.
    """
    found = Overrides()
    for override in overrides:
        line = str(override.input_line)
        if override.is_sweep_override():
            raise UserError(f"{line} has several values; {_one_value(override)}")
        if override.package is not None:
            raise UserError(f"{line}: '@{override.package}' is not supported here; leave it out")
        group = _group_of(override)
        if override.is_hydra_override() or override.key_or_group == "hydra":
            refuse_hydras_own(override.key_or_group)
            found.hydra.append(line)
        elif group is None:
            found.settings.append(override)
        else:
            option = _option_of(override, group)
            if found.choices.setdefault(group, option) != option:
                raise UserError(f"{group} is chosen twice: {found.choices[group]} and {option}")
    return found


def refuse_hydras_own(key: str) -> None:
    """Raise UserError for settings of Hydra's that do nothing here: it neither makes folders nor enters them."""
    if re.fullmatch(HYDRAS_FOLDERS, key):
        raise UserError(f"{key} has no effect here: give tasks_dir=<folder>, in which each run and sweep has a folder")


def write_out(override: Override, sections: Sections, algo_name: str) -> str:
    """An override with its full key, as Hydra takes it.

    Raises UserError for an unknown or ambiguous key, a value of the wrong type, and a deleted setting.
    """
    key = expand_key(override.key_or_group, sections, algo_name)
    if key in sections:
        raise UserError(f"{override.input_line}: write the keys of {key} one by one, such as {key}.<key>=<value>")
    hint = field_type(key, sections, algo_name)
    inside = key.count(".") > 1
    has_value = "=" in str(override.input_line)
    value = f"={override.get_value_string()}" if has_value else ""
    if override.is_delete():
        if not inside:
            raise UserError(f"~{key}: a setting cannot be deleted; give it another value, such as null")
        return f"~{key}{value}"
    given = override.value()
    fitted = fit(key, given, hint, override.get_value_string() if isinstance(given, bool) else None)
    if fitted is not given and has_value:
        value = f"={_value_text(key, fitted)}"
    return f"{'++' if is_free(key, hint) else ''}{key}{value}"  # ++: the key may be new in a free mapping


def to_override(key: str, value: Any) -> str:
    """The override that sets a key to a Python value, of a class to its dotted path; UserError for anything else."""
    if isinstance(value, type):
        value = path_of(value, key)
    elif key.endswith("_class") and not (value is None or isinstance(value, str)):
        raise UserError(f"{key} takes a class or its dotted path, not an object of type {type(value).__name__}")
    return f"{key}={_value_text(key, value)}"


def quoted(text: str) -> str:
    """`text` as a value that Hydra's grammar takes literally."""
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    return f"'{escaped}'"


def _value_text(key: str, value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, str | Path):
        return quoted(str(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, numbers.Real):  # NumPy's too
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_value_text(key, item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_value_text(key, item)}' for name, item in value.items())}}}"
    raise UserError(f"{key}: a {type(value).__name__} cannot be used in a config; give a number, text, list or mapping")


def _one_value(override: Override) -> str:
    """What to do where a comma has made several values of what may have been meant as one."""
    key, _, value = str(override.input_line).partition("=")
    if "/" in value and not re.search(r"""['"(\[{]""", value):  # a path
        return f'to sweep over them add -m; as one text it is written "{key}={quoted(value)}"'
    return "add -m to sweep over them (a list is written [1,2,3])"


def _group_of(override: Override) -> str | None:
    """The group that an override chooses an option of, if it does."""
    key = override.key_or_group
    name = key.removeprefix("general_cfg.")
    if name in GROUP_OF_NAME:
        return GROUP_OF_NAME[name]
    head = key.partition("/")[0]
    return head if head in GROUPS and not isinstance(override.value(), dict) else None


def _option_of(override: Override, group: str) -> str:
    value = override.value()
    folder = override.key_or_group.partition("/")[2]
    if folder and group != "preset":
        line = str(override.input_line)
        raise UserError(f"{line}: a key is written with a dot; did you mean {line.replace('/', '.', 1)}?")
    if group == "preset" and (value is None or override.is_delete()):
        return "null"
    if value is None or value == "" or override.is_delete() or not isinstance(value, str | int | float):
        raise UserError(f"{override.input_line}: {group} needs the name of one option")
    return f"{folder}/{value}" if folder else str(value)  # completion offers preset/<env>=<ALGO>

"""The reference of every key: type, default, allowed values and meaning. The meaning is the comment beside the field in
the source, which is read as text, so nothing heavy is imported."""

import ast
import dataclasses
import io
import re
import sys
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from algos.common.settings import allowed_values
from algos.registry import canonical_name, get_config_class
from framework.runs.checkout import CONFIG_DIR
from framework.settings.keys import field_types, sections_with, type_text
from framework.settings.schema import Config
from framework.settings.yaml_file import LOADER


@dataclass(frozen=True)
class Entry:
    """One key, as an algorithm has it."""

    section: str
    name: str
    type: str
    default: str  # as it will be: what null stands for is told
    allowed: str  # empty if the type says all
    meaning: str

    @property
    def key(self) -> str:
        """The full key."""
        return f"{self.section}.{self.name}"


def entries(algo_name: str) -> list[Entry]:
    """Every key of a run with this algorithm; UserError for an unknown one."""
    name = canonical_name(algo_name)
    given = _of_group(name)
    sections = sections_with(get_config_class(name))
    found = (_entries(section, config, given.get(section, {})) for section, config in sections.items())
    return [entry for part in found for entry in part]


def null_stands_for(meaning: str) -> str:
    """What a meaning says of null; empty if it says nothing."""
    found = re.search(r"\bnull: ([^;]+)", meaning)
    return found[1].strip() if found else ""


def with_meaning_of_null(text: str, config: Config) -> str:
    """A printed configuration whose nulls say, in a comment, what they stand for."""
    lines, section = [], ""
    for line in text.splitlines(keepends=True):
        found = re.fullmatch(r"(\w+):\n", line)
        section = found[1] if found else section
        key = re.fullmatch(r"  (\w+): null\n", line)
        if key and hasattr(config, section):
            told = null_stands_for(meanings_of(type(getattr(config, section))).get(key[1], ""))
            line = line.rstrip("\n") + (f" # {told}\n" if told else "\n")
        lines.append(line)
    return "".join(lines)


def meanings_of(config: type[Any]) -> dict[str, str]:
    """The comments beside the fields of a dataclass; that of a parent where a field is given again without one."""
    found: dict[str, str] = {}
    for parent in reversed(config.__mro__):
        file = getattr(sys.modules.get(parent.__module__), "__file__", None)
        if file:
            found |= _comments(Path(file)).get(parent.__name__, {})
    return {field.name: found.get(field.name, "") for field in dataclasses.fields(config)}


def _entries(section: str, config: type[Any], given: Mapping[str, Any]) -> list[Entry]:
    hints, meanings = field_types(config), meanings_of(config)
    found = []
    for field in dataclasses.fields(config):
        default = given[field.name] if field.name in given else _default(field)
        told = null_stands_for(meanings[field.name]) if default is None else ""
        scheduled = bool(field.metadata.get("schedule"))
        found.append(
            Entry(
                section,
                field.name,
                "a number or a schedule" if scheduled else type_text(hints[field.name]),
                shown(default) + (f" ({told})" if told else ""),
                allowed_values(field),
                meanings[field.name],
            )
        )
    return found


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def shown(value: Any) -> str:
    """A value as it is written in YAML, in one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


@cache
def _of_group(algo_name: str) -> dict[str, Any]:
    """What an algorithm's file in config/algo_cfg/ changes of the schema's defaults, by section."""
    path = CONFIG_DIR / "algo_cfg" / f"{algo_name}.yaml"
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) if path.exists() else {}
    return {section: values for section, values in data.items() if isinstance(values, dict)}


@cache
def _comments(file: Path) -> dict[str, dict[str, str]]:
    """Class -> field -> the comment beside it, in a source file."""
    text = file.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    by_line = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            fields = [line for line in node.body if isinstance(line, ast.AnnAssign)]
            found[node.name] = {ast.unparse(line.target): _last(by_line, line) for line in fields}
    return {name: {field: text for field, text in fields.items() if text} for name, fields in found.items()}


def _last(by_line: Mapping[int, str], statement: ast.stmt) -> str:
    """The last comment on the lines of a statement; empty if there is none."""
    lines = range(statement.end_lineno or statement.lineno, statement.lineno - 1, -1)
    return next((by_line[line] for line in lines if line in by_line), "")

"""A YAML file of settings that remembers the line of every key, for error messages."""

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

from algos.common.errors import Mistakes, UserError, first_line, nearest
from framework.runs.files import read_text
from framework.settings.foreign_words import is_of_the_environment
from framework.settings.keys import Sections, check_written, field_type, fit, is_word, unknown_key, wrong_type
from framework.settings.schema import SECTIONS

KeyPath = tuple[str, ...]
MOST_NODES = 200_000  # of a file, aliases written out
LOADER = get_yaml_loader()  # the dialect of all YAML files here, OmegaConf's: 1e-3 is a number


class _LastCounts(LOADER):  # type: ignore[misc, valid-type]
    """The same dialect, in which a key may stand twice."""

    construct_mapping = yaml.SafeLoader.construct_mapping


class YamlFile:
    """The settings of a YAML file, by section.

    Raises UserError, with file and line, for a file that cannot be read, is no YAML, repeats a key, or holds no
    mapping.
    """

    def __init__(self, path: Path | str, *, repeats: bool = False) -> None:
        """With `repeats` a key may stand twice: the last one counts, and `refuse_repeats` tells of it."""
        self.path = Path(path)
        self._lines: dict[KeyPath, int] = {}
        self._texts: dict[KeyPath, str] = {}
        self._nodes = 0  # seen by `_find_lines`, an alias as often as it stands there
        self.repeated: list[tuple[KeyPath, int]] = []  # (key, line where it stood first)
        text = read_text(self.path)
        try:
            root = yaml.compose(text, Loader=LOADER)
            self._find_lines(root, ())
            if not repeats:
                self.refuse_repeats()
            data = yaml.load(text, Loader=_LastCounts if repeats else LOADER)
        except RecursionError:
            raise UserError(f"{self.path}: its lists and mappings are nested too deeply") from None
        except yaml.YAMLError as error:
            raise UserError(f"{self.path}{yaml_problem(error)}") from None
        except ValueError as error:  # of int(): it has thousands of digits; of a date that there is not
            raise UserError(
                f"{self.path}: not a value that can be read: {first_line(error).partition(':')[0]}"
            ) from None
        self.data: dict[str, Any] = {} if data is None else data
        if not isinstance(self.data, dict):
            raise UserError(f"{self.path}:1: must be a mapping with sections such as general_cfg, not {text[:40]!r}")

    def section(self, name: str) -> dict[str, Any]:
        """A section's settings: none where the section is absent, empty or (an error that `check` tells) no mapping."""
        section = self.data.get(name)
        return section if isinstance(section, dict) else {}

    def refuse_repeats(self) -> None:
        """Raise UserError for the first key that stands twice."""
        for place, line in self.repeated:
            text = f"key '{'.'.join(place)}' is repeated; it first appears in line {line}"
            raise UserError(self.place(place) + text)

    def line(self, path: KeyPath) -> int:
        """The line of a key; of the mapping that it was merged into, where it has none of its own (<<)."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def replaced(self, data: dict[str, Any], lines: dict[KeyPath, int]) -> "YamlFile":
        """The same file with other settings, of which each names the line that it comes from."""
        other = copy.copy(self)
        other.data, other._lines, other._texts = data, lines, {}
        return other

    def check(self, sections: Sections, algo_name: str) -> None:
        """Raise UserError, with file and line, for unknown keys and values of the wrong type, all in one."""
        mistakes = Mistakes()
        self.fitted(sections, algo_name, mistakes)
        mistakes.tell()

    def fitted(
        self, sections: Sections, algo_name: str, mistakes: Mistakes, only: Sequence[str] = ()
    ) -> dict[str, dict[str, Any]]:
        """The settings that fit the schema, by section (of `only`, if that is given), with the types that it wants.

        The others are noted in `mistakes`, with file and line.
        """
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.data.items():
            if not only or name in only:
                self._fit((str(name),), value, sections, algo_name, mistakes, found)
        return found

    def _fit(
        self, path: KeyPath, value: Any, sections: Sections, algo_name: str, mistakes: Mistakes, into: dict[str, Any]
    ) -> None:
        key = ".".join(path)
        try:
            hint = field_type(key, sections, algo_name)
            if not dataclasses.is_dataclass(hint):
                into[path[-1]] = fit(key, copy.deepcopy(value), hint, self._texts.get(path))
                self._check_inside(path, value)
                return
            if value is not None and not isinstance(value, dict):
                raise UserError(wrong_type(key, value, hint))
        except UserError as error:
            told = str(error)
            if len(path) == 1 and isinstance(value, dict) and not (is_word(key, sections) or nearest(key, sections)):
                told = f"unknown section {key!r}; the sections are {', '.join(SECTIONS)}"
            mistakes.note(self.place(path) + told)
            self._note_inside(path, value, sections, algo_name, mistakes)
            return
        below = into[path[-1]] = {}
        for name, item in (value or {}).items():
            self._fit((*path, str(name)), item, sections, algo_name, mistakes, below)

    def _check_inside(self, path: KeyPath, value: Any) -> None:
        """Raise UserError for a value inside a list or a mapping that YAML reads as another than is written."""
        if isinstance(value, dict | list):
            for name, item in value.items() if isinstance(value, dict) else enumerate(value):
                self._check_inside((*path, str(name)), item)
        else:
            check_written(".".join(path), value, self._texts.get(path))

    def _note_inside(self, path: KeyPath, value: Any, sections: Sections, algo_name: str, mistakes: Mistakes) -> None:
        """What lies in a mapping that has no place here (policy_kwargs), as far as there is something to say of it."""
        if not isinstance(value, dict) or is_of_the_environment(path[-1]):
            return
        for name, item in value.items():
            inner = (*path, str(name))
            if is_word(str(name), sections):
                mistakes.note(self.place(inner) + unknown_key(".".join(inner), sections, algo_name))
            self._note_inside(inner, item, sections, algo_name, mistakes)

    def place(self, path: KeyPath) -> str:
        """File and line of a key, to begin a message with."""
        return f"{self.path}:{self.line(path)}: "

    def _find_lines(self, node: yaml.Node | None, path: KeyPath) -> None:
        """Note the line and the text of every key; the last one of a key that stands twice in one mapping."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise UserError(f"{self.path}: its aliases (*) make more than {MOST_NODES:,} values; write them out")
        if isinstance(node, yaml.ScalarNode):
            self._texts[path] = node.value
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._find_lines(item, (*path, str(index)))
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                place = (*path, name)
                self._lines[place] = line
                if name in seen and name != "<<":
                    self.repeated.append((place, seen[name]))
                seen[name] = line
                self._find_lines(value, place)


def yaml_problem(error: yaml.YAMLError) -> str:
    """Line, column and what is wrong of a YAML error, to be put after the file's name."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(part for part in (error.problem, error.context) if part)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        return f"{place}: not valid YAML: {problem}"
    return f": not valid YAML: {' '.join(str(error).split())}"

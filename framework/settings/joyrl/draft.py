"""A JoyRL settings file under translation: the settings found so far, remarks on them, and what is missing."""

import math
from dataclasses import dataclass, field
from typing import Any

from framework.settings.joyrl.tables import DEFAULTS
from framework.settings.yaml_file import KeyPath, YamlFile

SECTIONS = ("general_cfg", "algo_cfg", "env_cfg")  # JoyRL merges them in this order: the last one counts


@dataclass
class Row:
    """One row of the report: JoyRL's setting in `line` (0: not in the file), the setting here ("": none), and why."""

    line: int
    theirs: str
    here: str
    why: str = ""


@dataclass
class Draft:
    """The settings found so far by section, and the remarks on them."""

    file: YamlFile
    algorithm: str  # JoyRL's name
    year: int  # of the file's generation: 2022, 2023 or 2024
    settings: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    lines: dict[KeyPath, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)  # full key here -> a comment
    filled: dict[str, Any] = field(default_factory=dict)  # full key here -> JoyRL's default
    missing: dict[str, int] = field(default_factory=dict)  # what has no counterpart -> line
    done: set[tuple[str, str]] = field(default_factory=set)  # JoyRL's (section, key) that have been handled

    @property
    def defaults(self) -> dict[str, Any]:
        """JoyRL's defaults for the algorithm."""
        found: dict[Any, Any] = DEFAULTS.get(self.algorithm, {})
        if not found or isinstance(next(iter(found)), str):
            return found
        years = sorted(found)
        nearest: dict[str, Any] = found[next((year for year in years if year >= self.year), years[-1])]
        return nearest

    def place(self, key: str, *sections: str) -> tuple[str, str] | None:
        """Where the file has a key; searches general_cfg and algo_cfg by default."""
        looked = sections or ("general_cfg", "algo_cfg")
        return next(((name, key) for name in reversed(looked) if key in self.file.section(name)), None)

    def has(self, *keys: str) -> bool:
        """Whether the file itself has one of these keys."""
        return any(self.place(key) for key in keys)

    def get(self, key: str, *sections: str) -> Any:
        """The value of a JoyRL key in the file, or JoyRL's default; marks the key as handled."""
        for name in sections or ("general_cfg", "algo_cfg"):
            self.done.add((name, key))
        place = self.place(key, *sections)
        return self.defaults.get(key) if place is None else self.file.section(place[0])[key]

    def number(self, key: str, otherwise: float = 1) -> Any:
        """The number of a key, or `otherwise` if there is none; a value that is not a number is noted as missing."""
        value = self.get(key)
        if value is None:
            return otherwise
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.lack(key, f"{key}={value}: expected a number")
            return otherwise
        return value

    def first(self, *keys: str) -> tuple[str, Any]:
        """The first of these keys that the file has, with its value; else the first with a default."""
        values = {key: self.get(key) for key in keys}
        key = next((key for key in keys if self.has(key)), None)
        key = key or next((key for key in keys if values[key] is not None), keys[0])
        return key, values[key]

    def line(self, key: str, *sections: str) -> int:
        """The line of a JoyRL key; 0 if the file leaves it out."""
        place = self.place(key, *sections)
        return self.file.line(place) if place is not None else 0

    def put(self, key: str, value: Any, source: str = "", why: str = "", at: tuple[str, ...] = ()) -> None:
        """Set a full key here; `source` is the JoyRL key (in the sections `at`) that it comes from."""
        section, _, name = key.partition(".")
        self.settings[section][name] = value
        place = self.place(source, *at) if source else None
        line = self.file.line(place) if place is not None else 0
        self.lines[section, name] = line
        if place is None:
            if not why:
                self.remarks[key] = "JoyRL's default"
                self.filled[key] = value
                return
            self.remarks[key] = why
            self.rows.append(Row(0, "", f"{key}: {shown(value)}", why))
            return
        given = self.file.section(place[0])[source]
        if why or source != name or place[0] != section or given != value:
            was = f"{'.'.join(place)}: {shown(given)}" if place[0] != section else f"{source}: {shown(given)}"
            self.rows.append(Row(line, was, f"{key}: {shown(value)}", why))
            self.remarks[key] = f"was {was}" + (f"; {why}" if why else "")

    def same(self, *keys: str, section: str = "algo_cfg") -> None:
        """Copy keys that mean the same here, with JoyRL's default if the file leaves them out."""
        for key in keys:
            value = self.get(key)
            if value is not None:
                self.put(f"{section}.{key}", value, key)

    def rename(self, key: str, here: str, why: str = "", section: str = "algo_cfg") -> None:
        """Copy a key that has another name here."""
        value = self.get(key)
        if value is not None:
            self.put(f"{section}.{here}", value, key, why)

    def drop(self, key: str, why: str, *sections: str) -> None:
        """A key that has nothing to set here."""
        value = self.get(key, *sections)
        line = self.line(key, *sections)
        if line and value is not None:
            self.rows.append(Row(line, f"{key}: {shown(value)}", "", why))

    def lack(self, key: str, text: str, *sections: str) -> None:
        """A key that has no counterpart here; `text` says what is missing and what comes nearest."""
        self.get(key, *sections)
        self.missing.setdefault(text, self.line(key, *sections))

    def left(self) -> list[tuple[str, str]]:
        """(section, key) of everything in the file that has not been handled."""
        keys = ((name, key) for name in SECTIONS for key in self.file.section(name))
        return [place for place in keys if place not in self.done]


def shown(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return "; ".join(_entry(item) for item in value)
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def _entry(item: dict[str, Any]) -> str:
    """A layer, branch or wrapper in a few words."""
    if "layers" in item:
        return f"{item.get('name', 'branch')} ({shown(item['layers'])})"
    head = next((str(item[key]) for key in ("layer_type", "type", "wrapper_name") if key in item), "")
    rest = [str(value) for key, value in item.items() if key not in ("layer_type", "type", "wrapper_name")]
    return " ".join([head, *rest])

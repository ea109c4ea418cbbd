"""Keys of the configuration: sections, short forms, types, and error messages for wrong ones. Independent of Hydra."""

import dataclasses
import functools
import json
import re
import types
import typing
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from algos.common.errors import UserError, first_line, nearest
from algos.registry import ALGORITHMS, get_config_class
from envs.config import EnvConfig
from framework.settings.foreign_words import foreign_words, meanings, translation
from framework.settings.schema import SECTIONS, ExpectedScore, GeneralConfig

Sections = dict[str, type[Any]]  # section -> the dataclass of its keys
MOST_DEEP = 50  # lists and mappings inside each other
PLAIN = (int, float, bool, str, type(None))
TYPE_NAMES = {
    float: "a number",
    int: "an integer",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
    types.NoneType: "null",
}


def sections_with(algo_config: type[Any]) -> Sections:
    """The sections of a configuration whose algorithm has these settings."""
    return {
        "general_cfg": GeneralConfig,
        "algo_cfg": algo_config,
        "env_cfg": EnvConfig,
        "expected": ExpectedScore,
    }


def expand_key(key: str, sections: Sections, algo_name: str) -> str:
    """The full form of a key: `lr` is `algo_cfg.lr`.

    Raises UserError for an unknown key, and for a short one that is in several sections.
    """
    head, _, rest = key.partition(".")
    if head in sections:
        if rest:
            field_type(key, sections, algo_name)
        return key
    found = [name for name in SECTIONS if name in sections and head in field_types(sections[name])]
    if len(found) > 1:
        candidates = ", ".join(f"{name}.{key}" for name in found)
        raise UserError(f"key {key!r} is in several sections; write one of {candidates}")
    if not found:
        raise UserError(unknown_key(key, sections, algo_name))
    field_type(f"{found[0]}.{key}", sections, algo_name)
    return f"{found[0]}.{key}"


def field_type(key: str, sections: Sections, algo_name: str) -> Any:
    """The type of a full key; Any below a free mapping or list (`env_cfg.kwargs.gravity`).

    Raises UserError for an unknown key.
    """
    parts = key.split(".")
    hint: Any = sections.get(parts[0])
    if hint is None:
        raise UserError(unknown_key(key, sections, algo_name))
    for depth, part in enumerate(parts[1:], start=2):
        if not dataclasses.is_dataclass(hint):
            return _below(hint, ".".join(parts[: depth - 1]), key)
        fields = field_types(hint)
        if part not in fields:
            raise UserError(unknown_key(key, sections, algo_name))
        hint = fields[part]
    return hint


def field_types(config: Any) -> dict[str, Any]:
    """Field names of a dataclass with their types."""
    hints = typing.get_type_hints(config)
    return {field.name: hints[field.name] for field in dataclasses.fields(config)}


def is_free(key: str, hint: Any) -> bool:
    """Whether keys that no schema names may be added at `key`: it is a free mapping, or lies inside one."""
    return (hint is Any and key.count(".") > 1) or typing.get_origin(hint) is dict


def is_word(name: str, sections: Sections) -> bool:
    """Whether a name is that of a key here or in another tool, wherever it stands."""
    return bool(meanings(name)) or any(name in field_types(config) for config in sections.values())


def unknown_key(key: str, sections: Sections, algo_name: str) -> str:
    """What to say of a key that the schema lacks: its name here, where else it is known, or the nearest known one."""
    return f"unknown key {key!r}{_hint(key, sections, algo_name)}"


def _hint(key: str, sections: Sections, algo_name: str) -> str:
    head, _, rest = key.partition(".")
    if head not in sections:
        section = nearest(head, sections)
        if section and (not rest or rest.partition(".")[0] in field_types(sections[section])):
            return f"; did you mean {(f'{section}.{rest}' if rest else section)!r}?"
    word = (rest if head in sections else key).partition(".")[0]
    owners = [name for name in ALGORITHMS if word in field_types(get_config_class(name))]
    elsewhere = bool(owners) and algo_name not in owners and (head == "algo_cfg" or head not in sections)
    if "algo_cfg" in sections:
        told = translation(key, sections["algo_cfg"], algo_name, only_fitting=elsewhere)
        if told:
            return f"; {told}"
    if elsewhere:
        return f": 'algo_cfg.{word}' is a setting of {', '.join(owners)}, not of {algo_name}"
    return _likeness(key, head, word, sections, algo_name)


def _likeness(key: str, head: str, word: str, sections: Sections, algo_name: str) -> str:
    """The hint for a key that may be a typo."""
    own = field_types(sections[head]) if head in sections else {}
    places = {name: section for section, config in sections.items() for name in field_types(config)}
    last = key.rpartition(".")[2]
    if last != word and last in places:
        return f"; did you mean '{places[last]}.{last}'?"
    for known in (dict.fromkeys(own, head), places):  # its own section first
        near = nearest(word, known)
        if near:
            return f"; did you mean '{known[near]}.{near}'?"
    foreign = nearest(word, foreign_words(), most=1)
    told = translation(foreign, sections["algo_cfg"], algo_name) if foreign and "algo_cfg" in sections else None
    if told:
        return f"; {foreign}: {told}"
    if head == "expected":
        return f"; known: {', '.join(f'expected.{name}' for name in own)}"
    return f"; `python main.py --help {algo_name}` explains every key"


def fit(key: str, value: Any, hint: Any, text: str | None = None) -> Any:
    """`value` as `key` takes it: 1e5 is an integer where one is wanted, YAML's `no` is the word where text is.

    `text` is how it was written, if that is known. Raises UserError for a value that does not fit.
    """
    kinds = _kinds(hint)
    if isinstance(value, dict | list):
        _check_inside(key, value)
    check_written(key, value, text)
    if isinstance(value, float) and value.is_integer() and int in kinds and float not in kinds:
        value = int(value)
    elif isinstance(value, bool) and str in kinds and bool not in kinds:
        if text is None:
            raise UserError(f"{wrong_type(key, value, hint)}; put it in quotes")
        value = text
    check_type(key, value, hint)
    return value


def check_written(key: str, value: Any, text: str | None = None) -> None:
    """Raise UserError for a single value that stands for none, or that YAML reads as another than is written."""
    if isinstance(value, str) and value == "???":
        raise UserError(f"{key}=??? is not a value; give one, or leave the key out")
    octal = isinstance(value, int) and text is not None and re.match(r"[-+]?0\d|.*:", text)
    if octal and not isinstance(value, bool):
        raise UserError(f"{key}={text}: YAML reads that as {value}; write it without leading zeros or colons")


def _check_inside(key: str, value: Any) -> None:
    """Raise UserError for `???` inside, and for lists and mappings inside each other without end.

    Hydra walks through them by recursion.
    """
    level = [value]
    for _ in range(MOST_DEEP):
        inner = [one for item in level for one in (item.values() if isinstance(item, dict) else item)]
        for one in inner:
            check_written(key, one)
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return
    raise UserError(f"{key}: its lists and mappings are nested too deeply")


def check_type(key: str, value: Any, hint: Any) -> None:
    """Raise UserError, with the full key and the expected type, unless `value` fits the type of `key`."""
    refers = isinstance(value, str) and "${" in value
    if not refers and type(value) in PLAIN and type(value) in _kinds(hint):
        return  # most settings, without the cost of asking OmegaConf
    try:
        if hint is Any or refers:
            OmegaConf.create({"value": value})  # an interpolation's result is checked once all is composed
        else:
            OmegaConf.update(OmegaConf.structured(_holder(hint)), "value", value, merge=True)
    except GrammarParseError as error:
        raise UserError(f"{key}={value} is not a well-formed interpolation: {first_line(error)}") from error
    except OmegaConfBaseException as error:
        raise UserError(wrong_type(key, value, hint)) from error


@functools.cache
def _holder(hint: Any) -> type[Any]:
    """A dataclass with one field of this type."""
    return dataclasses.make_dataclass("Holder", [("value", hint)])


def wrong_type(key: str, value: Any, hint: Any) -> str:
    """What to say of a value of the wrong type."""
    shown = json.dumps(value) if value is None or isinstance(value, bool) else value
    return f"{key}={shown} is of the wrong type: expected {type_text(hint)}"


def type_text(hint: Any) -> str:
    """A type in words: `float | None` is "a number or null"."""
    if _is_union(hint):
        return " or ".join(type_text(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is list and typing.get_args(hint)[0] in TYPE_NAMES:
        return f"a list of {TYPE_NAMES[typing.get_args(hint)[0]].split()[-1]} values"
    if dataclasses.is_dataclass(hint):
        return "a mapping"
    return TYPE_NAMES.get(typing.get_origin(hint) or hint, str(hint))


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types that a value may have."""
    return typing.get_args(hint) if _is_union(hint) else (hint,)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _below(hint: Any, parent: str, key: str) -> Any:
    """The type of what lies inside a field that is no dataclass."""
    origin = typing.get_origin(hint) or hint
    if origin in (list, dict) or hint is Any:
        return Any
    raise UserError(f"unknown key {key!r}: {parent} is {type_text(hint)}, it has no keys")

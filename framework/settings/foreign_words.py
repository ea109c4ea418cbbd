"""Looks up the keys of other tools in `foreign_table` for one algorithm (torch-free)."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from algos.registry import ALGORITHMS, get_config_class
from envs.config import EnvConfig
from framework.settings.foreign_table import TABLE
from framework.settings.schema import SECTIONS, GeneralConfig


@dataclass(frozen=True)
class Meaning:
    """One meaning of a word: full keys, perhaps with =value; none where there is nothing to set."""

    keys: tuple[str, ...]
    needs: tuple[str, ...] = ()  # short keys of algo_cfg that the algorithm must have too
    remark: str = ""
    named: bool = False  # also where a later meaning fits the algorithm

    def fits(self, config: type[Any]) -> bool:
        """Whether an algorithm with these settings has the keys."""
        own = [key.partition("=")[0] for key in self.keys if key.startswith("algo_cfg.")]
        fields = {field.name for field in dataclasses.fields(config)}
        return {key.removeprefix("algo_cfg.") for key in own} | set(self.needs) <= fields

    def text(self) -> str:
        """The keys in words."""
        return " and ".join(self.keys)


def meanings(word: str) -> list[Meaning]:
    """The meanings of another tool's word in any spelling (--clip-coef, clip_coef); none where it is not known."""
    return _table().get(normal(word), [])


def is_of_the_environment(word: str) -> bool:
    """Whether a word means keyword arguments of the environment or its wrappers, whose own keys are nobody's."""
    return any(key in ("env_cfg.kwargs", "env_cfg.wrappers") for meaning in meanings(word) for key in meaning.keys)


def foreign_words() -> Iterable[str]:
    """Every word of the table."""
    return _table()


def normal(word: str) -> str:
    """A word as the table has it."""
    return word.strip("-+~").lower().replace("-", "_")


def translation(key: str, config: type[Any], algo_name: str, *, only_fitting: bool = False) -> str | None:
    """What an unknown key of another tool is called here, to stand behind the key; None for a word of no tool.

    `config` holds the settings of the algorithm `algo_name`; with `only_fitting` None also where it has nothing of the
    kind. The last part of a dotted key that is known counts.
    """
    found = next((known for part in reversed(key.split(".")) if (known := meanings(part))), None)
    if found is None:
        return None
    fitting = next((meaning for meaning in found if meaning.fits(config)), None)
    if fitting is None:
        if only_fitting:
            return None
        every = [
            f"{meaning.text()} ({_algorithms(meaning)}{_after(meaning.remark)})" for meaning in found if meaning.keys
        ]
        return f"here it is {' or '.join(every)}; {algo_name} has no such setting"
    others = [
        f"for {_algorithms(meaning)}: {meaning.text()}" for meaning in found[: found.index(fitting)] if meaning.named
    ]
    told = f"here it is {fitting.text()}" if fitting.keys else fitting.remark
    remarks = [fitting.remark, *others] if fitting.keys else others
    return told + (f" ({'; '.join(filter(None, remarks))})" if any(remarks) else "")


def _after(remark: str) -> str:
    return f": {remark}" if remark else ""


@cache
def _table() -> dict[str, list[Meaning]]:
    table = {}
    for words, text in TABLE.items():
        found = [_meaning(part) for part in text.split(" | ")]
        table.update(dict.fromkeys(words.split(), found))
    return table


def _meaning(text: str) -> Meaning:
    head, _, remark = text.strip().partition(":")
    keys, _, needs = head.partition("@")
    named = [_full(key.strip()) for key in keys.strip().lstrip("!").split(" + ") if key.strip()]
    return Meaning(tuple(named), tuple(needs.split()), remark.strip(), text.startswith("!"))


def _full(key: str) -> str:
    """A key of the table with its section."""
    if key.startswith(SECTIONS):
        return key
    return f"{_section(key.partition('=')[0])}.{key}"


@cache
def _section(key: str) -> str:
    for section, config in (("general_cfg", GeneralConfig), ("env_cfg", EnvConfig)):
        if key in config.__dataclass_fields__:
            return section
    return "algo_cfg"


def _algorithms(meaning: Meaning) -> str:
    """Those that a meaning fits, at most four by name."""
    names = [name for name in ALGORITHMS if meaning.fits(get_config_class(name))]
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"

"""`--help lr`, `--help PPO`, `--help env_cfg`: explains a key, or every key of an algorithm or section."""

import shutil
import textwrap
from collections.abc import Sequence

from algos.common.errors import Mistakes, UserError, nearest
from algos.registry import ALGORITHMS, ALIASES, canonical_name, get_config_class
from framework.commands.pages.settings_page import Row, rows_of
from framework.settings.keys import Sections, sections_with, unknown_key
from framework.settings.reference import Entry, entries
from framework.settings.schema import SECTIONS

COLUMN = 34  # where meanings begin


def topics_of(words: Sequence[str]) -> list[str]:
    """The topics of --help: all words except settings, and the algorithm of algo_name=<ALGO>."""
    names = [word.partition("=")[2] for word in words if word.startswith(("algo_name=", "general_cfg.algo_name="))]
    return [*names, *(word for word in words if "=" not in word)]


def show_topics(topics: Sequence[str]) -> None:
    """Print help on sections, keys and algorithms; next to an algorithm, keys are those of that algorithm.

    Raises UserError for unknown words, one line each.
    """
    algorithm = next((name for name in map(_algorithm, topics) if name), None)
    mistakes, parts = Mistakes(), []
    rest = [topic for topic in topics if _algorithm(topic) is None]
    for topic in rest or ["algo_cfg"]:
        with mistakes.noted():
            parts.append(_topic(topic, algorithm))
    mistakes.tell()
    print("\n\n".join(parts))


def _topic(topic: str, algorithm: str | None) -> str:
    sections = sections_with(get_config_class(algorithm or "DQN"))
    if topic in sections:
        return _section(topic, algorithm or "DQN")
    rows = _rows(topic, [algorithm] if algorithm else list(ALGORITHMS))
    if not rows:
        raise UserError(_unknown(topic, sections, algorithm or "DQN"))
    return "\n\n".join(_key(row) for row in rows)


def _algorithm(word: str) -> str | None:
    """The algorithm that a word names, in any case; a path outside the tree too."""
    known = {name.lower(): name for name in (*ALIASES, *ALGORITHMS)}
    if word.lower() in known:
        return canonical_name(known[word.lower()])
    return canonical_name(word) if ":" in word else None


def _rows(key: str, algorithms: Sequence[str]) -> list[Row]:
    """A key in all its meanings, perhaps with its section before it or keys of its own behind."""
    head, _, rest = key.partition(".")
    name = (rest if head in (*SECTIONS, "expected") else key).partition(".")[0]
    every = {}
    for algorithm in algorithms:
        every[algorithm] = [entry for entry in entries(algorithm) if entry.name == name and _named(entry, head)]
    return [row for section in (*SECTIONS, "expected") for row in rows_of(section, every)]


def _named(entry: Entry, head: str) -> bool:
    """Whether a key that begins with `head` may mean an entry: keys of `expected` need their section."""
    return entry.section == head if head in (*SECTIONS, "expected") else entry.section != "expected"


def _unknown(topic: str, sections: Sections, algo_name: str) -> str:
    near = nearest(topic, ALGORITHMS)
    return f"unknown algorithm {topic!r}; did you mean {near!r}?" if near else unknown_key(topic, sections, algo_name)


def _section(section: str, algorithm: str) -> str:
    title = f"{section} of {algorithm}" if section == "algo_cfg" else section
    found = [entry for entry in entries(algorithm) if entry.section == section]
    hint = ["", "The other keys: python main.py --help general_cfg env_cfg"] if section == "algo_cfg" else []
    return "\n".join([title, *map(_entry, found), *hint])


def _entry(entry: Entry) -> str:
    """`key = default` and, beside it or below, its meaning and allowed values."""
    value = "null" if entry.default.startswith("null (") else entry.default  # what null stands for is in the meaning
    left = f"  {entry.name} = {value}"
    allowed = entry.allowed or ("" if entry.meaning else entry.type)
    text = _filled(entry.meaning + (f" ({allowed})" if allowed else ""), COLUMN)
    return f"{left:<{COLUMN}}{text}" if len(left) < COLUMN else f"{left}\n{' ' * COLUMN}{text}"


def _key(row: Row) -> str:
    entry = row.entry
    facts = {"type": entry.type, "default": row.default().replace("`", ""), "allowed": entry.allowed}
    if entry.section == "algo_cfg":
        facts["algorithms"] = ", ".join(row.defaults)
    lines = [f"  {name:<11}{_filled(text, 13)}" for name, text in facts.items() if text]
    return "\n".join([entry.key, f"  {_filled(entry.meaning, 2)}", *lines])


def _filled(text: str, indent: int) -> str:
    """Text in the width of the terminal, its further lines indented."""
    width = max(40, min(shutil.get_terminal_size((100, 24)).columns, 120) - indent)
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False).replace("\n", "\n" + " " * indent)

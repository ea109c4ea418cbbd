"""docs/settings.md, made from the schema by `make tables`."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from algos.registry import ALGORITHMS
from framework.commands.pages.written import COMMAND, write_or_check
from framework.runs.checkout import ROOT
from framework.settings.reference import Entry, entries

PAGE = ROOT / "docs" / "settings.md"
INTRO = f"""# Settings

Every key with its type, actual default, allowed values and meaning. On the command line, `python main.py --help lr`
shows one key, `--help PPO` the keys of an algorithm, and `--help env_cfg` those of a section.

You can leave out the section if only one section has the key: `lr=1e-3` is `algo_cfg.lr=1e-3`. A schedule is `lin_1e-3`
or a mapping, see [algorithms.md](algorithms.md#schedules). Lists of layers are described in [networks.md](networks.md).

Do not edit this page: `{COMMAND}` makes it from the comments in the source code.
"""
HEADINGS = {
    "general_cfg": "general_cfg: the run",
    "env_cfg": "env_cfg: the environment",
    "expected": "expected: the reference score of a preset",
}


@dataclass
class Row:
    """One key of several algorithms, identical except for its default."""

    entry: Entry
    defaults: dict[str, str] = field(default_factory=dict)  # algorithm -> default

    def default(self) -> str:
        """The most frequent default, then the others with their algorithms."""
        usual = Counter(self.defaults.values()).most_common(1)[0][0]
        if self.entry.name == "algo_name":
            return _code(usual)  # the others have their own names
        others: dict[str, list[str]] = {}
        for name, default in self.defaults.items():
            if default != usual:
                others.setdefault(default, []).append(name)
        return "; ".join([_code(usual), *(f"{', '.join(names)}: {_code(text)}" for text, names in others.items())])


def page() -> str:
    """The text of docs/settings.md."""
    parts = [INTRO]
    every = {name: entries(name) for name in ALGORITHMS}
    for section in ("general_cfg", "env_cfg"):
        parts.append(_table(HEADINGS[section], section, every))
    for family, names in families().items():
        own = {name: every[name] for name in names}
        parts.append(_table(f"algo_cfg: {family} methods", "algo_cfg", own, len(own)))
    parts.append(_table(HEADINGS["expected"], "expected", every))
    return "\n".join(parts)


def families() -> dict[str, list[str]]:
    """The algorithms by their folder in algos/."""
    found: dict[str, list[str]] = {}
    for name, (path, _) in ALGORITHMS.items():
        found.setdefault(path.split(".")[1].replace("_", " "), []).append(name)
    return found


def rows_of(section: str, every: Mapping[str, Iterable[Entry]]) -> list[Row]:
    """The keys of a section; a key with several meanings has several rows."""
    rows: dict[tuple[str, ...], Row] = {}
    for name, found in every.items():
        for entry in found:
            if entry.section == section:
                same = (entry.name, entry.type, entry.allowed, entry.meaning)
                rows.setdefault(same, Row(entry)).defaults[name] = entry.default
    order = list(dict.fromkeys(row.entry.name for row in rows.values()))
    return sorted(rows.values(), key=lambda row: order.index(row.entry.name))


def main(argv: Sequence[str]) -> int:
    """Write the page; with --check say only whether it is up to date. The exit code: 1 if it was not."""
    return write_or_check(PAGE, page(), "framework.commands.pages.settings_page", argv)


def _table(title: str, section: str, every: Mapping[str, Iterable[Entry]], algorithms: int = 0) -> str:
    """A heading and a table, with a column of algorithms for algo_cfg."""
    head = ["key", "type", "default", "allowed", "meaning", *(["algorithms"] if algorithms else [])]
    lines = [f"## {title}", ""]
    if algorithms:
        lines += [f"Algorithms: {', '.join(f'`{name}`' for name in every)}.", ""]
    lines += [_line(head), "|" + "---|" * len(head)]
    for row in rows_of(section, every):
        entry = row.entry
        cells = [f"`{entry.name}`", entry.type, row.default(), entry.allowed, entry.meaning]
        if algorithms:
            cells.append("all" if len(row.defaults) == algorithms else ", ".join(row.defaults))
        lines.append(_line(cells))
    return "\n".join([*lines, ""])


def _code(default: str) -> str:
    """A default as code; the meaning of null stays outside."""
    value, told, rest = default.partition(" (") if default.startswith("null") else (default, "", "")
    return f"`{value}`{told}{rest}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Text for a cell: no end of the cell, no tag of HTML outside code."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if n % 2 else re.sub(r"<(?=\w)", "&lt;", part) for n, part in enumerate(parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

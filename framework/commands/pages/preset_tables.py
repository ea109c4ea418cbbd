"""The tables of presets: copies the results of mode=verify to docs/results.md, then makes the tables of
docs/presets.md from the preset files and that page. Run by `make tables`, or with
`python -m framework.commands.pages.preset_tables [--check | <tasks folder>]`.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from algos.common.errors import UserError
from envs.families import family_of
from framework.commands.pages.results_page import Cells, number, read_rows, seeds_of, take_over
from framework.runs.checkout import ROOT
from framework.runs.files import atomic_write
from framework.settings.yaml_file import LOADER

RESULTS = ROOT / "docs" / "results.md"
PAGE = ROOT / "docs" / "presets.md"
PRESETS = ROOT / "config" / "preset"
FROM_ROOT = "/preset/"  # prefix of the preset that a preset inherits from
MARK = re.compile(r"<!-- presets: (.*) -->")  # the folders whose presets stand in the table under it
HEAD = "| `preset=` | reached here | reference | env steps |"


def table(presets: Path, folders: Sequence[str], reached: Mapping[str, Cells]) -> list[str]:
    """The lines of a table: every preset file of these folders that trains, with the score reached here.

    Raises UserError for a folder that does not exist.
    """
    lines = [HEAD, _rule(HEAD)]
    for folder in folders:
        if not (presets / folder).is_dir():
            raise UserError(f"{PAGE.name}: there is no folder {presets / folder}")
        for path in sorted((presets / folder).glob("*.yaml")):
            name = f"{folder}/{path.stem}"
            data = _preset(presets, name)
            if (data.get("general_cfg") or {}).get("mode") == "dataset":
                continue
            expected = data.get("expected") or {}
            cells = [f"`{name}`{_needs(data)}", _reached(reached.get(name)), _reference(expected), _steps(expected)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def update_page(text: str, presets: Path, reached: Mapping[str, Cells]) -> str:
    """The page with a new table under each of its marks.

    Raises UserError for a folder of presets that no mark names, or more than one.
    """
    new: list[str] = []
    named: list[str] = []
    inside = False  # the table that is replaced
    for line in text.split("\n"):
        inside = inside and line.startswith("|")
        if inside:
            continue
        new.append(line)
        if mark := MARK.fullmatch(line):
            folders = mark[1].split()
            named += folders
            new += table(presets, folders, reached)
            inside = True
    wrong = sorted({path.parent.name for path in presets.glob("*/*.yaml")} - set(named))
    wrong += sorted({name for name in named if named.count(name) > 1})
    if wrong:
        raise UserError(
            f"{PAGE.name} must name each folder of presets in one '<!-- presets: ... -->': {', '.join(wrong)}"
        )
    return "\n".join(new)


def main(argv: Sequence[str]) -> int:
    """Update both pages; with --check only say whether docs/presets.md is up to date (exit code 1 if not)."""
    check = [*argv] == ["--check"]
    if not check and (len(argv) > 1 or "".join(argv).startswith("-")):
        print(
            "error: usage: python -m framework.commands.pages.preset_tables [--check | <tasks folder>]", file=sys.stderr
        )
        return 2
    try:
        old = PAGE.read_text(encoding="utf-8")
        for line in [] if check else take_over(Path(argv[0]) if argv else ROOT / "tasks", RESULTS):
            print(line)
        reached = read_rows(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        new = update_page(old, PRESETS, reached)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if new == old:
        print("docs/presets.md is up to date")
        return 0
    if check:
        print("docs/presets.md is out of date: make tables")
        return 1
    atomic_write(PAGE, new.encode())
    print("docs/presets.md is written")
    return 0


def _reached(row: Cells | None) -> str:
    """The cell for a row of docs/results.md."""
    if row is None:
        return "-"
    score, interval = row["score"], row["95% interval"]
    span = "" if interval == f"{score} to {score}" else f" ({interval})"
    verdict = {"yes": "", "inconclusive": ", inconclusive"}.get(row["passes"], ", **missed**")
    return f"{score}{span}, {seeds_of(row)} seeds{verdict}"


def _reference(expected: dict[str, Any]) -> str:
    if expected.get("mean_reward") is None:
        return "-"
    source = str(expected.get("source") or "").replace("|", "/").strip()
    spread = "" if expected.get("std") is None else f" +- {number(expected['std'])}"
    return f"{number(expected['mean_reward'])}{spread}" + (f" ({source})" if source else "")


def _steps(expected: dict[str, Any]) -> str:
    steps = expected.get("max_env_step")
    return "-" if steps is None else f"{steps:,}"


def _preset(presets: Path, name: str) -> dict[str, Any]:
    """A preset's own sections, merged over those of the presets that it inherits from."""
    path = presets / f"{name}.yaml"
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        return {}
    for entry in data.get("defaults", []):
        if isinstance(entry, str) and entry.startswith(FROM_ROOT):
            before = _preset(presets, entry.removeprefix(FROM_ROOT))
            data |= {key: {**(before.get(key) or {}), **(data.get(key) or {})} for key in ("env_cfg", "expected")}
    return data


def _needs(data: dict[str, Any]) -> str:
    """The extra, or the package of others, that a preset's environment needs."""
    from gymnasium import registry

    name = str((data.get("env_cfg") or {}).get("id", "CartPole-v1"))
    family = family_of(name.rpartition(":")[2])
    if family is not None:
        return f" (needs `pip install {family[1]}`)"
    place = str(registry[name].entry_point) if name in registry else name
    marks = {"gymnasium.envs.box2d": "box2d", "gymnasium.envs.mujoco": "mujoco"}
    atari = name.startswith("ALE/") or "NoFrameskip" in name  # registered only where the extra is installed
    extra = "atari" if atari else next((extra for mark, extra in marks.items() if mark in place), None)
    return f' (needs `pip install -e ".[{extra}]"`)' if extra else ""


def _rule(head: str) -> str:
    return "|" + "---|" * (head.count("|") - 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The tables of presets: docs/results.md takes over what mode=verify has found, and README.md's table is made from the
preset files and that page: `make tables`, or `python -m framework.commands.preset_tables [--check | <tasks folder>]`.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from algos.common.errors import UserError
from framework.commands.results_page import Cells, number, read_rows, seeds_of, take_over
from framework.runs.checkout import ROOT
from framework.runs.run_folder import atomic_write
from framework.settings.yaml_file import LOADER

RESULTS = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
PRESETS = ROOT / "config" / "preset"
FROM_ROOT = "/preset/"  # how a preset names the one that it goes on from
README_HEAD = re.compile(r"\| `preset=` \|.*\|")
NEW_README_HEAD = "| `preset=` | reached here | reference | env steps |"


def readme_table(presets: Path, page: Path) -> list[str]:
    """The lines of README's table: every preset file with what was reached here."""
    rows = read_rows(page.read_text(encoding="utf-8")) if page.exists() else {}
    names = sorted(str(path.relative_to(presets).with_suffix("")) for path in presets.rglob("*.yaml"))
    lines = [NEW_README_HEAD, _rule(NEW_README_HEAD)]
    for name in names:
        data = _preset(presets, name)
        expected = data.get("expected") or {}
        cells = [f"`{name}`{_needs(data)}", _reached(rows.get(name)), _reference(expected), _steps(expected)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def update_readme(text: str, lines: Sequence[str]) -> str:
    """The README with its table of presets replaced by `lines`; UserError where it has none."""
    before = text.split("\n")
    start = next((n for n, line in enumerate(before) if README_HEAD.fullmatch(line)), None)
    if start is None:
        raise UserError(f"{README.name} has no table that begins with '| `preset=` |'")
    end = start
    while end < len(before) and before[end].startswith("|"):
        end += 1
    return "\n".join([*before[:start], *lines, *before[end:]])


def main(argv: Sequence[str]) -> int:
    """Bring both tables up to date; with --check say only whether README's is. The exit code: 1 where it was not."""
    check = [*argv] == ["--check"]
    if not check and (len(argv) > 1 or "".join(argv).startswith("-")):
        print("error: usage: python -m framework.commands.preset_tables [--check | <tasks folder>]", file=sys.stderr)
        return 2
    try:
        old = README.read_text(encoding="utf-8")
        for line in [] if check else take_over(Path(argv[0]) if argv else ROOT / "tasks", RESULTS):
            print(line)
        new = update_readme(old, readme_table(PRESETS, RESULTS))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if new == old:
        print("README.md is up to date")
        return 0
    if check:
        print("README.md's table of presets is out of date: make tables")
        return 1
    atomic_write(README, new.encode())
    print("README.md's table of presets is written anew")
    return 0


def _reached(row: Cells | None) -> str:
    """What README says of a row of docs/results.md."""
    if row is None:
        return "-"
    score, interval = row["score"], row["95% interval"]
    span = "" if interval == f"{score} to {score}" else f" ({interval})"
    return f"{score}{span}, {seeds_of(row)} seeds{'' if row['passes'] == 'yes' else ', **missed**'}"


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
    """A preset's own sections over those of the presets that it goes on from."""
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
    """What has to be installed for a preset's environment beside the requirements."""
    from gymnasium import registry

    name = str((data.get("env_cfg") or {}).get("id", "CartPole-v1"))
    place = str(registry[name].entry_point) if name in registry else name
    marks = {"gymnasium.envs.box2d": "box2d", "gymnasium.envs.mujoco": "mujoco"}
    atari = name.startswith("ALE/") or "NoFrameskip" in name  # registered only where the extra is installed
    extra = "atari" if atari else next((extra for mark, extra in marks.items() if mark in place), None)
    return f' (needs `pip install -e ".[{extra}]"`)' if extra else ""


def _rule(head: str) -> str:
    return "|" + "---|" * (head.count("|") - 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The tables of presets: the results in docs/results.md, a row for each that mode=verify has judged, and the table in
README.md, made from the preset files and those rows: `make tables`, or
`python -m framework.commands.preset_tables [--check]`.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

from algos.common.errors import UserError
from framework.commands.verdict import shown
from framework.runs.run_folder import atomic_write
from framework.settings.schema import ExpectedScore

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
PRESETS = ROOT / "config" / "preset"
FROM_ROOT = "/preset/"  # how a preset names the one that it goes on from
BEGIN, END = "<!-- verified presets: begin, written by mode=verify -->", "<!-- verified presets: end -->"
RESULTS_HEAD = (
    "| preset | score | 95% interval | by seed | published | holds | env steps | seconds a seed | commit | machine |"
    " date | command |"
)
README_HEAD = re.compile(r"\| `preset=` \|.*\|")
NEW_README_HEAD = "| `preset=` | reached here | published score | env steps |"


@dataclass(frozen=True)
class Result:
    """What a verification found."""

    preset: str
    mean: float
    low: float
    high: float
    scores: list[float]  # of each training seed
    holds: bool
    env_steps: float  # a seed
    seconds: float  # of training, a seed
    commit: str
    machine: str
    date: str


def write_result(result: Result, expected: ExpectedScore, page: Path | None = None) -> None:
    """Write a preset's row in docs/results.md, in place of its older one."""
    page = page or RESULTS
    text = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
    rows = {**_rows(text), result.preset: _result_row(result, expected)}
    block = "\n".join([BEGIN, RESULTS_HEAD, _rule(RESULTS_HEAD), *(rows[name] for name in sorted(rows)), END])
    if BEGIN in text and END in text:
        text = text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]
    else:
        text = f"{text.rstrip()}\n\n## Verified presets\n\n{block}\n"
    atomic_write(page, text.encode())


def readme_table(presets: Path = PRESETS, page: Path = RESULTS) -> list[str]:
    """The lines of README's table: every preset file with what was reached here."""
    rows = _rows(page.read_text(encoding="utf-8")) if page.exists() else {}
    names = sorted(str(path.relative_to(presets).with_suffix("")) for path in presets.rglob("*.yaml"))
    lines = [NEW_README_HEAD, _rule(NEW_README_HEAD)]
    for name in names:
        data = _preset(presets, name)
        expected = data.get("expected") or {}
        cells = [f"`{name}`{_needs(data)}", _reached(rows.get(name)), _published(expected), _steps(expected)]
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
    """Write README's table; with --check say only whether it is up to date. The exit code: 1 where it was not."""
    if [*argv] not in ([], ["--check"]):
        print("error: usage: python -m framework.commands.preset_tables [--check]", file=sys.stderr)
        return 2
    try:
        old = README.read_text(encoding="utf-8")
        new = update_readme(old, readme_table())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if new == old:
        print("README.md is up to date")
        return 0
    if argv:
        print("README.md's table of presets is out of date: make tables")
        return 1
    atomic_write(README, new.encode())
    print("README.md's table of presets is written anew")
    return 0


def number(value: float) -> str:
    """A number without a needless point: 500, -172.2."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _rows(text: str) -> dict[str, str]:
    """The rows between the markers, by preset."""
    if BEGIN not in text or END not in text:
        return {}
    lines = text[text.index(BEGIN) : text.index(END)].split("\n")
    return {match[1]: line for line in lines if (match := re.match(r"\| `([^`]+)` \|", line))}


def _result_row(result: Result, expected: ExpectedScore) -> str:
    published = number(expected.mean_reward or 0) + ("" if expected.std is None else f" ± {number(expected.std)}")
    n = len(result.scores)
    cells = (
        f"`{result.preset}`", shown(result.mean), f"{shown(result.low)} to {shown(result.high)}",
        ", ".join(map(shown, result.scores)), published, "yes" if result.holds else "**no**",
        f"{result.env_steps:,.0f}", f"{result.seconds:.0f}", result.commit, result.machine, result.date,
        f"`python main.py mode=verify preset={result.preset} seeds={n}`",
    )  # fmt: skip
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _reached(row: str | None) -> str:
    """What README says of a row of docs/results.md."""
    if row is None:
        return "-"
    _, score, interval, seeds, _, holds, *_ = (cell.strip() for cell in row.strip("| ").split(" | "))
    span = "" if interval == f"{score} to {score}" else f" ({interval})"
    return f"{score}{span}, {len(seeds.split(', '))} seeds{'' if holds == 'yes' else ', **missed**'}"


def _published(expected: dict[str, Any]) -> str:
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
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=get_yaml_loader())
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

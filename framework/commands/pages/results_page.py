"""The table of verified presets in docs/results.md, one row each, from the verifications in tasks/."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from envs.returns import ANY, possible_returns
from framework.commands.verdict import NOTE, Result, shown
from framework.commands.verify import other_settings
from framework.reports.statistics import cut
from framework.runs.files import atomic_write
from framework.settings.command import main_command, setting_word
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import hydra_session
from framework.settings.prepare import prepare
from framework.settings.schema import ExpectedScore

BEGIN, END = "<!-- verified presets: begin, written by make tables -->", "<!-- verified presets: end -->"
PASSES = {"passes": "yes", "inconclusive": "inconclusive", "does not pass": "**no**"}
COLUMNS = (
    "preset", "score", "95% interval", "by seed", "reference", "passes", "env steps", "seconds per seed", "commit",
    "machine", "date", "command",
)  # fmt: skip

Cells = dict[str, str]  # of a row, by column


def read_rows(text: str) -> dict[str, Cells]:
    """The rows between the markers of a page, by preset."""
    if BEGIN not in text or END not in text:
        return {}
    lines = [line for line in text[text.index(BEGIN) : text.index(END)].split("\n") if line.startswith("| `")]
    rows = [dict(zip(COLUMNS, line.strip("| ").split(" | "), strict=True)) for line in lines]
    return {row["preset"].strip("`"): row for row in rows}


def write_rows(page: Path, rows: Mapping[str, Cells]) -> None:
    """Replace the table between the markers of a page with these rows, sorted."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    block = "\n".join([BEGIN, *head, *(f"| {' | '.join(rows[name].values())} |" for name in sorted(rows)), END])
    if BEGIN in text and END in text:
        text = text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]
    else:
        text = f"{text.rstrip()}\n\n## Verified presets\n\n{block}\n"
    atomic_write(page, text.encode())


def row_of(result: Result, expected: ExpectedScore, possible: tuple[float, float] = ANY) -> Cells:
    """The row of a result and its reference score; `possible` is the range of an episode's return."""
    verdict = result.verdict
    low, high = cut((verdict.low, verdict.high), possible)
    reference = number(expected.mean_reward or 0) + ("" if expected.std is None else f" ± {number(expected.std)}")
    cells = (
        f"`{result.preset}`", shown(verdict.mean), f"{shown(low)} to {shown(high)}",
        ", ".join(map(shown, result.scores)), reference, PASSES[verdict.answer],
        f"{result.env_steps:,.0f}", f"{result.seconds:.0f}", result.commit, result.machine, result.date,
        f"`python main.py mode=verify preset={result.preset} seeds={len(result.scores)}`",
    )  # fmt: skip
    return dict(zip(COLUMNS, (cell.replace("|", "/") for cell in cells), strict=True))


def seeds_of(row: Cells) -> int:
    """The number of training seeds of a row."""
    return row["by seed"].count(",") + 1


def number(value: float) -> str:
    """A number without trailing zeros: 500, -172.2."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def take_over(tasks: Path, page: Path) -> list[str]:
    """Add the newest valid verification of each preset in `tasks` to `page`; returns a line for each verification.

    It is valid if it is finished, has the preset's current settings, at least as many seeds as the row on the page, and
    is not older than that row.
    """
    old = read_rows(page.read_text(encoding="utf-8")) if page.exists() else {}
    rows, taken, lines = dict(old), dict[str, Path](), []
    with hydra_session() as hydra:
        for folder, note, result in _newest_first(tasks):
            preset = note["preset"]
            if result is None:
                resume = main_command("mode=verify", f"preset={preset}", setting_word("resume", folder))
                lines.append(f"skipped: {folder}: {preset} is not finished; resume with {resume}")
            elif preset in taken:
                lines.append(f"skipped: {folder}: {taken[preset].name} is newer")
            elif isinstance(row := _row_or_reason(hydra, note, result, old.get(preset)), str):
                lines.append(f"skipped: {folder}: {row}")
            else:
                rows[preset], taken[preset] = row, folder
                what = "already on the page" if row == old.get(preset) else "added"
                lines.append(f"{what}: {folder}: {preset}, {row['score']} over {seeds_of(row)} seeds")
    if rows != old:
        write_rows(page, rows)
    return lines or [f"no verification in {tasks}"]


def _newest_first(tasks: Path) -> list[tuple[Path, dict[str, Any], Result | None]]:
    """The verifications in `tasks` with their notes and results, unfinished ones first."""
    places = [path.parent for path in tasks.glob(f"Verify_*/{NOTE}")]
    found = [
        (place, json.loads((place / NOTE).read_text(encoding="utf-8")), Result.read(place)) for place in sorted(places)
    ]
    return sorted(found, key=lambda item: item[2].finished if item[2] else "~", reverse=True)


def _row_or_reason(hydra: Hydra, note: dict[str, Any], result: Result, old: Cells | None) -> Cells | str:
    """The new row of a finished verification, or why it is not used."""
    try:
        preset = prepare(hydra, [f"preset={result.preset}"])
    except UserError as error:
        return str(error)
    if other := other_settings(note, preset):
        return f"not the preset's own settings: {', '.join(other)}"
    if old is not None and seeds_of(old) > len(result.scores):
        return f"{len(result.scores)} seeds, but the row on the page has {seeds_of(old)}"
    if old is not None and old["date"] > result.date:
        return f"dated {result.date}, but the row on the page is dated {old['date']}"
    return row_of(result, preset.config.expected, possible_returns(preset.config.env_cfg))

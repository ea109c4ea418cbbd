"""The report of mode=verify: a table of the seeds, the verdict, and the result file in the folder."""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from framework.commands.sweep_status import DONE, FAILED, NOT_STARTED, Status
from framework.commands.verdict import NOTE, SCORE, TEST_EPISODES, Result, Verdict, in_words, judge, shown
from framework.runs import provenance
from framework.settings.schema import ExpectedScore

PAGE = "docs/results.md"


def report(
    folder: Path,
    preset: str,
    expected: ExpectedScore,
    seeds: Sequence[int],
    statuses: Mapping[int, Status],
    changes: Sequence[str],
) -> int | None:
    """Print the table and the verdict, and write the result; returns the exit code, None without a verdict.

    `statuses` are those of the seeds that just ran, `changes` the settings that differ from the preset.
    """
    from rich.console import Console  # it takes a while, and --help imports this module

    console = Console(width=None if os.isatty(1) else 120, highlight=False, markup=False, emoji=False, soft_wrap=True)
    scores = {seed: _score(folder / f"seed_{seed}") for seed in seeds}
    console.print(_table(preset, scores, statuses))
    done = [score for score in scores.values() if score is not None]
    if len(done) < len(scores):
        failed = sum(status.state == FAILED for status in statuses.values())
        console.print(f"no verdict: {len(done)} of {len(scores)} seeds are done, {failed} failed")
        return None
    means = [statistics.fmean(score["rewards"]) for score in done]
    verdict = judge(means, expected)
    console.print(f"{preset} {in_words(verdict, means, expected)}")
    written = _result(folder, preset, verdict, means, done).write(folder)
    if changes:
        console.print(
            f"wrote {written} (not for {PAGE}, as these are not the preset's own settings: {', '.join(changes)})"
        )
    else:
        console.print(f"wrote {written}; next: make tables, which adds it to {PAGE}")
    return int(not verdict.passes)


def _result(folder: Path, preset: str, verdict: Verdict, means: list[float], done: Sequence[dict[str, Any]]) -> Result:
    return Result(
        preset=preset,
        verdict=verdict,
        scores=means,
        env_steps=statistics.fmean(score["env_step"] for score in done),
        seconds=statistics.fmean(score["wall_time"] for score in done),
        commit=", ".join(json.loads((folder / NOTE).read_text(encoding="utf-8"))["commits"]),
        machine=_machine(),
        finished=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _score(run: Path) -> dict[str, Any] | None:
    """The score file of a finished seed."""
    path = run / SCORE
    if not path.exists():
        return None
    score: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return score


def _table(preset: str, scores: dict[int, dict[str, Any] | None], statuses: Mapping[int, Status]) -> Any:
    """A rich table with a row for each seed."""
    from rich.table import Table

    table = Table(title=f"{preset}, {TEST_EPISODES} episodes per seed")
    columns = ("seed", "mean reward", "std over episodes", "last evaluations", "env steps", "seconds", "model", "state")
    for name in columns:
        table.add_column(name, justify="left" if name in ("model", "state") else "right")
    for seed, score in scores.items():
        if score is None:
            state = statuses[seed].state if seed in statuses else NOT_STARTED
            table.add_row(str(seed), "", "", "", "", "", "", state)
            continue
        rewards = score["rewards"]
        means = [value for name, value in score.get("evaluations", {}).items() if name.startswith("mean of")]
        last = shown(means[0]) if means else ""  # the mean of at most ten
        spread = shown(statistics.pstdev(rewards))
        numbers = (shown(statistics.fmean(rewards)), spread, last, f"{score['env_step']:,}")
        table.add_row(str(seed), *numbers, f"{score['wall_time']:.0f}", score["model"], DONE)
    return table


def _machine() -> str:
    hardware = provenance.collect()["hardware"]
    gpus = "".join(f", {gpu}" for gpu in hardware["gpus"])
    return f"{hardware['cpu']}, {hardware['cores']} cores{gpus}"

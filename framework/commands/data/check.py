"""mode=dataset check=<data>: a table of what is there, and a line for each fault."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from envs.make import step_limit
from framework.datasets.facts import Contents, Counts
from framework.datasets.faults import Faults
from framework.datasets.load import check_spaces, read_all, shown
from framework.datasets.source import Source
from framework.datasets.words import sources_of
from framework.settings.schema import Config

KEY = "general_cfg.check"


def check(cfg: Config, hydra_cfg: Any) -> int:
    """Print the table and the faults; the exit code: 0, or 2 where there are faults."""
    sources = sources_of(cfg.general_cfg.check, cfg.general_cfg.tasks_dir, KEY)
    check_spaces(sources, KEY)
    faults, found = Faults(), []
    counts, whole = Counts(), Contents()

    def take(episode: dict[str, Any]) -> None:
        counts.add(episode)
        whole.add(episode)

    for source in read_all(sources, faults, take, _limit(cfg, hydra_cfg)):
        found.append((source, counts))
        counts = Counts()
    told = {source.facts["sha256"] for source in sources if source.facts.get("sha256")}
    if len(told) == 1 and not faults.lines and whole.facts()["sha256"] not in told and _all_of_one(sources):
        faults.note(sources[0].file.parent, "sha256 is not that of dataset.json: files were changed, added or lost")
    console = Console(soft_wrap=True)
    console.print(_table(found, whole))
    for name in ("obs_space", "action_space"):
        space = next((getattr(source, name) for source in sources if getattr(source, name) is not None), None)
        console.print(f"{name}: {shown(space) if space is not None else 'the files do not tell'}", highlight=False)
    for line in faults.lines:
        console.print(f"fault: {line}", markup=False, highlight=False)
    console.print(f"{len(faults.lines)} faults" if faults.lines else "no faults", highlight=False)
    return 2 if faults.lines else 0


def _limit(cfg: Config, hydra_cfg: Any) -> int | None:
    """The time limit of the environment that the command names; a file's own goes first."""
    given = list(hydra_cfg.overrides.task) if hydra_cfg is not None else []
    names_env = any(word.partition("=")[0] in ("env_cfg.id", "env_cfg.entry_point", "preset") for word in given)
    if names_env:
        return step_limit(cfg.env_cfg, cfg.general_cfg.max_step)
    return cfg.general_cfg.max_step if cfg.general_cfg.max_step > 0 else None


def _all_of_one(sources: Sequence[Source]) -> bool:
    """Whether the sources are the whole of one folder's data files."""
    folder = sources[0].file.parent
    here = {path for path in folder.glob("*") if path.suffix == sources[0].file.suffix}
    return {source.file for source in sources} == here


def _table(found: Sequence[tuple[Source, Counts]], whole: Counts) -> Table:
    table = Table()
    for name in ("file", "format", "episodes", "steps", "mean return", "least", "most"):
        table.add_column(name, overflow="fold", justify="left" if name in ("file", "format") else "right")
    for source, counts in found:
        table.add_row(_short(source.file), source.format, *_numbers(counts))
    if len(found) > 1:
        table.add_row("all", "", *_numbers(whole))
    return table


def _short(file: Path) -> str:
    """A path from here on, where that is shorter."""
    with suppress(ValueError):
        return str(file.absolute().relative_to(Path.cwd()))
    return str(file)


def _numbers(counts: Counts) -> list[str]:
    returns = counts.returns or [float("nan")]
    return [
        f"{len(counts.returns):,}",
        f"{counts.steps:,}",
        *(f"{number:.2f}" for number in (np.mean(returns), min(returns), max(returns))),
    ]

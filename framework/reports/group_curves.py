"""The figure of a sweep: one line per setting with the mean over seeds and its interval; single seeds are faint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from framework.reports.canvas import PALETTE, STYLES, dress, legend_columns, limit_axis, new_axes, no_harm, save
from framework.reports.curves import Curve, curve_of, join
from framework.reports.groups import Group

ROW = 0.22  # inches of a row of the legend
INTERVAL = "shaded: 95% interval, clipped to the rewards seen"
HELD = "a run that ended earlier keeps its last value"
UNFINISHED = "dotted: not finished, not in the mean"


def plot_groups(groups: Sequence[Group], out: Path, title: str) -> Path | None:
    """Draw the PNG `out`; None if no run has a curve, or it cannot be drawn, which is a warning."""
    curves = [[(run.done, curve_of(run.folder)) for run in group.runs] for group in groups]
    drawn = [
        (group, [(done, curve) for done, curve in of_group if curve is not None])
        for group, of_group in zip(groups, curves, strict=True)
    ]
    drawn = [(group, of_group) for group, of_group in drawn if of_group]
    if not drawn:
        return None
    with no_harm("the figure of the sweep"):
        labels = [_label(group, of_group) for group, of_group in drawn]
        figure, axes = new_axes(False, 4.5 + ROW * max(0, -(-len(labels) // legend_columns(labels)) - 3))
        notes = dict.fromkeys([_what(drawn)])
        for number, (_, of_group) in enumerate(drawn):
            color, style = PALETTE[number % len(PALETTE)], STYLES[number // len(PALETTE) % len(STYLES)]
            notes |= dict.fromkeys(_draw(axes, of_group, labels[number], color, style))
        values = [curve.y for _, of_group in drawn for _, curve in of_group]
        cut = limit_axis(axes, np.concatenate(values), values)
        dress(figure, axes, title, "; ".join([*notes, *([cut] if cut else [])]))
        return save(figure, out)
    return None


def _what(drawn: Sequence[tuple[Group, list[tuple[bool, Curve]]]]) -> str:
    evaluated = all(curve.evaluated for _, of_group in drawn for _, curve in of_group)
    several = any(len(of_group) > 1 for _, of_group in drawn)
    what = "evaluations" if evaluated else "training episodes, running mean"
    return f"{what}, mean over seeds" if several else what


def _label(group: Group, of_group: Sequence[tuple[bool, Curve]]) -> str:
    """`lr=0.001 (n = 3)`; where jobs failed, `(n = 2 of 3)`."""
    done, jobs = sum(is_done for is_done, _ in of_group), len(group.runs)
    return f"{group.name} (n = {done}{f' of {jobs}' if done < jobs else ''})"


def _draw(axes: Any, runs: Sequence[tuple[bool, Curve]], label: str, color: str, style: str) -> list[str]:
    """Draw one group; what is to be said of it."""
    done, notes = [curve for is_done, curve in runs if is_done], []
    for curve in (curve for is_done, curve in runs if not is_done):
        axes.plot(curve.x, curve.y, color=color, linewidth=0.9, alpha=0.5, linestyle=":", label=None if done else label)
        notes, label = [UNFINISHED], label if done else f"_{label}"
    if len(done) == 1:
        axes.plot(done[0].x, done[0].y, color=color, linestyle=style, linewidth=1.8, label=label)
    if len(done) > 1:
        for curve in done:
            axes.plot(curve.x, curve.y, color=color, linewidth=0.7, alpha=0.3)
        joined = join(done)
        axes.fill_between(joined.x, joined.low, joined.high, color=color, alpha=0.18, linewidth=0)
        axes.plot(joined.x, joined.mean, color=color, linestyle=style, linewidth=2.2, label=label)
        notes = [INTERVAL, "thin: single seeds", *([HELD] if joined.held else []), *notes]
    return notes

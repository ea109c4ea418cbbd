"""Shared code of all figures: drawn with Agg, in one style, and never a reason for a run to fail.

matplotlib is imported where it is used: it takes half a second.
"""

import logging
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from framework.runs.files import atomic_write

log = logging.getLogger("joyride")

PALETTE = ("#4878a8", "#d1603d", "#5a9367", "#8c6bb1", "#c9a227", "#3a9ca6", "#b5577c", "#7a6a58", "#6b7a8f", "#94a83c")
STYLES = ("-", "--", "-.", ":")  # once the colours are used up
DPI = 150
TAIL = 5.0  # percent of the values at either end that may lie outside the axis
ENV_STEPS = "environment steps"  # the usual unit of x
NOTE = 135  # letters of a line of the note
WORTH = 2.5  # an axis is cut where it would else be so many times as long


@contextmanager
def no_harm(what: str) -> Iterator[None]:
    """A figure that cannot be drawn or written causes only a warning: its data is in the tables."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        log.warning("%s could not be drawn: %s: %s", what, type(error).__name__, reason)


def load_matplotlib() -> None:
    """Import matplotlib also where MPLBACKEND names a backend that is not installed here (a child of Jupyter's)."""
    try:
        import matplotlib
    except ValueError:
        backend = os.environ.pop("MPLBACKEND", None)
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # what the failed import left
        try:
            import matplotlib  # noqa: F401
        finally:
            if backend is not None:
                os.environ["MPLBACKEND"] = backend


def agg_figure(**kwargs: Any) -> Any:
    """A figure of its own: it needs neither a display nor a backend, nor pyplot's list of figures."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**kwargs)
    FigureCanvasAgg(figure)
    return figure


def new_axes(show: bool, height: float = 4.5) -> tuple[Any, Any]:
    """A figure for curves, `height` inches high, and its axes; with `show` one that a window can show."""
    load_matplotlib()
    if show:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    else:
        figure = agg_figure()
    figure.set_size_inches(8, height)
    figure.set_layout_engine("constrained")
    return figure, figure.add_subplot()


def limit_axis(axes: Any, values: np.ndarray, curves: Sequence[np.ndarray] = ()) -> str:
    """Cut the y axis to where most `values` are, if a few of them would flatten the rest; what to say of it, or "".

    The second half of each of `curves` and its best value stay on it.
    """
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    low, high = np.percentile(values, (TAIL, 100 - TAIL))
    span = (high - low) or 1.0
    kept = [value for curve in curves if curve.size for value in (*curve[len(curve) // 2 :], curve.max())]
    bottom = min([max(low - span / 2, values.min()), *kept])
    top = max([min(high + span / 2, values.max()), *kept])
    if values.max() - values.min() <= WORTH * (top - bottom) or top <= bottom:
        return ""
    margin = 0.05 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)
    below, above = int((values < bottom - margin).sum()), int((values > top + margin).sum())
    parts = [f"{below:,} below, down to {values.min():,.4g}"] if below else []
    parts += [f"{above:,} above, up to {values.max():,.4g}"] if above else []
    return f"axis cut: of {values.size:,} points {' and '.join(parts)}" if parts else ""


def dress(figure: Any, axes: Any, title: str, note: str = "", unit: str = ENV_STEPS) -> None:
    """Titles, axes (x in `unit`), grid, and a legend that never hides a point."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    if note:
        axes.set_title(textwrap.fill(note, NOTE), fontsize=7.5, loc="left", color="#666666")
    axes.set_xlabel(unit)
    axes.set_ylabel("episode reward")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        figure.legend(
            loc="outside lower center", ncols=legend_columns(labels), fontsize=9, columnspacing=1.5, frameon=False
        )


def legend_columns(labels: list[str]) -> int:
    """How many labels fit side by side."""
    return max(1, min(4, 118 // (max(map(len, labels)) + 8)))


def save(figure: Any, out: Path) -> Path:
    """Write the PNG `out`."""
    atomic_write(out, lambda file: figure.savefig(file, format="png", dpi=DPI))
    return out


def show_window(figure: Any) -> None:
    """Show the figure in a window, if there is one."""
    import matplotlib
    import matplotlib.pyplot as plt

    if matplotlib.get_backend().lower() == "agg":
        log.warning("show_fig: there is no display here; the figure is in the run folder")
    else:
        plt.show()
    plt.close(figure)

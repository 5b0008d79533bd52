"""Vertical bars: one per method, with its value above and its interval."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from seqrl_cli.reports.plot.curves import PointsRow
from seqrl_cli.reports.plot.style import COLOURS, INK, TickLabels, plain

_NAME_WIDTH = 14  # characters below a bar


def draw_bars(axes: Axes, rows: Sequence[PointsRow]) -> None:
    """Draw bars from 0 to each mean, the intervals as whiskers, and the means as numbers above both."""
    for x, row in enumerate(rows):
        axes.bar(x, row.mean, width=0.68, color=COLOURS[row.colour % len(COLOURS)], alpha=0.85, linewidth=0)
        top = max(row.mean, row.interval[1] if row.interval else row.mean, 0.0)
        if row.interval:
            axes.plot([x, x], row.interval, color=INK, linewidth=1.4)
        axes.annotate(f"{row.mean:.1f}", (x, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    width = _NAME_WIDTH if len(rows) <= 6 else 9
    names = [_below(plain(row.label), width) for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=9)
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    axes.set_xlim(-0.6, max(len(rows), 3) - 0.4)
    axes.grid(axis="x", visible=False)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.margins(y=0.1)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(TickLabels())


def _below(name: str, width: int) -> str:
    """A name in lines that end at spaces or, where these are too far apart, behind hyphens."""
    lines = [""]
    for piece in re.findall(r"\s*(?:[^-\s]+-?|-)", name):
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append(piece.lstrip())
        else:
            lines[-1] += piece
    return "\n".join(lines)

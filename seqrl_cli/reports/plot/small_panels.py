"""Small panels in a grid, one per task: bars of results, or lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from seqrl_cli.reports.plot.curves import Panel, PointsRow
from seqrl_cli.reports.plot.style import (
    COLOURS,
    FRAME_HEIGHT,
    INK,
    LABEL_HEIGHT,
    TickLabels,
    line_style,
    number_text,
    plain,
)

GRID_COLUMNS = 4  # panels per row
_BAR_ROW_HEIGHT = 0.22  # inches, as all heights
_MIN_BARS_HEIGHT = 0.9
_LINES_HEIGHT = 1.3
_AROUND_HEIGHT = 0.75  # title and axis of a small panel


def grid_height(panel: Panel) -> float:
    """The height in inches that the small panels need, with title and legend."""
    rows = math.ceil(len(panel.small) / GRID_COLUMNS)
    bars = max(_MIN_BARS_HEIGHT, _BAR_ROW_HEIGHT * len(panel.labels))
    inside = bars if panel.small[0].dots else _LINES_HEIGHT
    return FRAME_HEIGHT + rows * (inside + _AROUND_HEIGHT) + LABEL_HEIGHT * math.ceil(len(panel.labels) / 2)


def draw_grid(part: Any, panel: Panel) -> None:
    """Draw the small panels of a panel in rows, below one title and above one legend.

    Args:
        part: a figure or subfigure.
        panel: a panel that has ``small``.
    """
    part.suptitle(plain(panel.title), x=0.015, ha="left", fontsize=11, fontweight="bold")
    rows = math.ceil(len(panel.small) / GRID_COLUMNS)
    styles: dict[str, tuple[str, Any]] = {}
    for axes, small in zip(part.subplots(rows, GRID_COLUMNS, squeeze=False).flat, panel.small, strict=False):
        axes.set_title(plain(small.title), loc="left", fontsize=9, color=INK)
        axes.tick_params(labelsize=8)
        axes.set_xlabel(small.x_label, fontsize=8)
        axes.set_ylabel(small.y_label, fontsize=8)
        if small.dots:
            _draw_bars(axes, small, panel.labels)
            styles |= {row.label: (_bar_colour(row, panel.labels), "solid") for row in small.dots}
        else:
            _draw_lines(axes, small)
            styles |= {each.label: line_style(each) for each in small.series}
    for axes in list(part.axes)[len(panel.small) :]:
        axes.set_visible(False)
    handles = [Line2D([], [], color=colour, linestyle=dash, linewidth=2) for colour, dash in styles.values()]
    part.legend(handles, list(map(plain, styles)), loc="outside lower left", ncols=2, fontsize=8, frameon=False)


def _draw_bars(axes: Axes, panel: Panel, labels: Sequence[str]) -> None:
    """One bar per method from 0 to its mean, with the mean's interval; a method has one place in all panels."""
    for row in panel.dots:
        y = labels.index(row.label)
        axes.barh(y, row.mean, height=0.62, color=_bar_colour(row, labels), alpha=0.75, linewidth=0)
        if row.interval:
            axes.plot(row.interval, [y + 0.22] * 2, color=INK, linewidth=1.2)
        text = number_text(round(row.mean, 1))
        axes.annotate(text, (0, y - 0.1), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks([])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if panel.x_label.endswith("(%)"):
        shown = [value for row in panel.dots for value in (row.mean, *(row.interval or ()))]
        axes.set_xlim(min([0.0, *shown]), max([100.0, *shown]))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(TickLabels())


def _bar_colour(row: PointsRow, labels: Sequence[str]) -> str:
    """A colour by label, since settings of one model have bars of their own."""
    return COLOURS[labels.index(row.label) % len(COLOURS)]


def _draw_lines(axes: Axes, panel: Panel) -> None:
    """Lines with bands, without names at their ends."""
    for each in panel.series:
        colour, dash = line_style(each)
        axes.plot(each.x, each.y, color=colour, linestyle=dash, linewidth=1.4)
        if each.low is not None and each.high is not None:
            axes.fill_between(each.x, each.low, each.high, color=colour, alpha=0.13, linewidth=0)
    axes.margins(x=0.02, y=0.12)
    if panel.y_label.endswith("(%)"):
        low, high = axes.get_ylim()
        axes.set_ylim(min(-4.0, low), max(104.0, high))
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(TickLabels())

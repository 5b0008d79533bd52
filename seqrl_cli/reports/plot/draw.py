"""Draw panels with matplotlib and write them as PNG, PDF or SVG."""

from __future__ import annotations

import hashlib
import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from seqrl_cli.files.atomic import write_bytes_atomic
from seqrl_cli.files.regular import open_regular
from seqrl_cli.reports.plot.bars import draw_bars
from seqrl_cli.reports.plot.curves import Panel, PointsRow, Series
from seqrl_cli.reports.plot.figure_formats import check_figure_format
from seqrl_cli.reports.plot.heat_map import ROW_HEIGHT as HEAT_ROW_HEIGHT
from seqrl_cli.reports.plot.heat_map import draw_heat_map
from seqrl_cli.reports.plot.small_panels import draw_grid, grid_height
from seqrl_cli.reports.plot.style import (
    COLOURS,
    FRAME_HEIGHT,
    INK,
    LABEL_HEIGHT,
    SOFT_INK,
    TickLabels,
    line_style,
    number_text,
    plain,
)

PANEL_WIDTH = 6.6  # inches, as all sizes here
PANEL_HEIGHT = 4.0
_WHOLE_BANDS = ("reward",)  # kinds whose bands lie among the results, so that they are never too wide for the axes
_TITLE_WIDTH = 62  # characters that fit a panel
_AXIS_WIDTH = 40  # characters beside the y axis
ROW_HEIGHT = 0.42  # of a row of points
_LABEL_WIDTH = 28  # characters in a line of its label
# Matplotlib's own settings take the place of the user's, which may ask for LaTeX or for fonts that are not there.
_USUAL: dict[Any, Any] = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"}
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8A8A8A",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "pdf.fonttype": 42,
    "text.parse_math": False,  # dollars in names are dollars
}


def is_drawn(panels: Sequence[Panel], output: Path) -> bool:
    """Whether ``output`` is a PNG of exactly these panels, written by ``plot_panels``."""
    try:
        with open_regular(output) as file, Image.open(file) as image:
            return bool(image.info.get("Description") == _fingerprint(panels))
    except (OSError, SyntaxError, ValueError):  # missing, truncated, or not an image
        return False


def _fingerprint(panels: Sequence[Panel]) -> str:
    """A text in a PNG that identifies the panels it shows."""
    return f"seqrl plot {hashlib.sha256(repr(tuple(panels)).encode()).hexdigest()}"


def plot_panels(panels: Sequence[Panel], output: Path) -> None:
    """Draw panels side by side, at most two per row, then those of small panels, and write them atomically.

    Args:
        panels: what to draw.
        output: a file with an extension in ``FIGURE_FORMATS``.
    """
    large = [panel for panel in panels if not panel.small]
    grids = [panel for panel in panels if panel.small]
    columns = 2 if grids else min(2, len(large))
    height = max((_height(panel) for panel in large), default=0.0)
    rows = math.ceil(len(large) / max(columns, 1))
    heights = [height] * rows + [grid_height(panel) for panel in grids]
    with _figure(output, columns * PANEL_WIDTH, sum(heights), _fingerprint(panels)) as figure:
        if not grids:
            _draw_large(figure.subfigures(rows, columns, squeeze=False), large, height)
            return
        bands = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for row in range(rows):
            _draw_large(bands[row].subfigures(1, columns, squeeze=False), large[row * columns :][:columns], height)
        for band, panel in zip(bands[rows:], grids, strict=True):
            draw_grid(band, panel)


def _draw_large(parts: Any, panels: Sequence[Panel], height: float) -> None:
    """Draw panels of full size, each in a subfigure of its own, so that long names do not narrow other panels."""
    for part, panel in zip(parts.flat, panels, strict=False):
        axes = part.subplots()
        # aligned with the panel rather than the axes, which long names push to the right
        part.suptitle(
            textwrap.fill(plain(panel.title), _TITLE_WIDTH), x=0.03, ha="left", fontsize=11, fontweight="bold"
        )
        axes.set(xlabel=panel.x_label, ylabel=textwrap.fill(panel.y_label, _AXIS_WIDTH))
        if panel.heat:
            draw_heat_map(axes, panel.heat)
        elif panel.bars:
            draw_bars(axes, panel.bars)
        elif panel.dots:
            _draw_points(axes, panel.dots)
        else:
            _draw_lines(axes, panel, name_height=LABEL_HEIGHT / (height - FRAME_HEIGHT))


@contextmanager
def _figure(output: Path, width: float, height: float, description: str) -> Iterator[Figure]:
    """A figure of ``width`` x ``height`` inches, saved to ``output`` unless the block fails; PNGs keep metadata."""
    check_figure_format(output)
    with matplotlib.rc_context(_USUAL | _STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box is drawn for it
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
        FigureCanvasAgg(figure)
        yield figure
        metadata = {"Description": description} if output.suffix.lower() == ".png" else None
        content = io.BytesIO()  # matplotlib's writers of PDF raise their own errors when a disk is full
        figure.savefig(content, format=output.suffix[1:].lower(), dpi=150, metadata=metadata)
        write_bytes_atomic(output, content.getvalue())


def _draw_lines(axes: Axes, panel: Panel, name_height: float) -> None:
    """Draw lines with bands and names at their ends; a name is ``name_height`` high, as a fraction of the axes."""
    series = panel.series
    if panel.logarithmic:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    elif panel.x_logarithmic:
        axes.set_xscale("log")
    for each in series:
        colour, dash = line_style(each)
        # A line of one point would not be seen; faint lines have no other markers.
        marker = "o" if len(each.x) <= (1 if each.faint else 12) else None
        if panel.x_names:
            dash = "none"  # nothing lies between names
        thin = {"linewidth": 1.0, "alpha": 0.45} if each.faint else {"linewidth": 1.8}
        axes.plot(each.x, each.y, color=colour, linestyle=dash, marker=marker, markersize=4, **thin)  # type: ignore[arg-type]
    axes.margins(x=0.02, y=0.12)
    if panel.kind not in _WHOLE_BANDS and (not panel.x_names or any(each.count < 3 for each in series)):
        axes.set_ylim(_limits(axes, series))
    for each in series:
        if each.low is None or each.high is None or each.faint:
            continue
        colour, _ = line_style(each)
        if panel.x_names:
            axes.vlines(each.x, each.low, each.high, color=colour, alpha=0.5, linewidth=2.4)
        else:
            axes.fill_between(each.x, each.low, each.high, color=colour, alpha=_shade(panel, each), linewidth=0)
    places = {x for each in series for x in each.x}
    if panel.logarithmic:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(axes) < 2 else (1,)))
    elif panel.x_logarithmic or panel.x_names or len(places) == 1:
        axes.set_xticks(sorted(places))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(TickLabels())
        axis.set_minor_formatter(NullFormatter())
    if panel.x_names:
        axes.set_xticks(range(len(panel.x_names)), [plain(name) for name in panel.x_names])
    _name_ends(axes, [each for each in series if not each.faint], name_height)


def _shade(panel: Panel, series: Series) -> float:
    """How dark a band is: Student's over two curves is so wide that it would hide the rest of the panel."""
    return 0.13 if series.count > 2 or panel.kind in _WHOLE_BANDS else 0.05


def _limits(axes: Axes, series: Sequence[Series]) -> tuple[float, float]:
    """The lower and upper end of the y axis.

    The lines determine it, because a band over two seeds is very wide. A faint line counts from where the first other
    line begins, or after a fifth of the updates, because a loss may start a thousand times as high as it ends.
    """
    clear = [each for each in series if not each.faint]
    shown = [y for each in clear for y in each.y if math.isfinite(y)]
    if axes.get_yscale() == "log" or len(clear) == len(series) or not shown:
        low, high = axes.get_ylim()
        return low, high
    first = min(min(each.x[0] for each in clear if each.x), 0.2 * max(each.x[-1] for each in series if each.x))
    shown += [
        y
        for each in series
        if each.faint
        for x, y in zip(each.x, each.y, strict=True)
        if x >= first and math.isfinite(y)
    ]
    margin = 0.12 * (max(shown) - min(shown)) or 0.5
    return min(shown) - margin, max(shown) + margin


def _decades(axes: Axes) -> float:
    """How many powers of ten the y axis spans."""
    low, high = axes.get_ylim()
    return math.log10(high / low)


def _name_ends(axes: Axes, series: Sequence[Series], name_height: float) -> None:
    """Write each line's name on the right at the height of its end, moved so that names do not overlap."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = {each.label: _last(each) for each in series}
    scaled = {label: float(to_axes.transform(end)[1]) for label, end in ends.items() if end is not None}
    order = sorted(scaled, key=lambda label: scaled[label])
    heights = _spread_out([scaled[label] for label in order], name_height)
    styles = {each.label: line_style(each) for each in series}
    for label, height in zip(order, heights, strict=True):
        colour, dash = styles[label]
        axes.plot([1.01, 1.06], [height, height], color=colour, linestyle=dash, transform=axes.transAxes, clip_on=False)
        axes.text(1.07, height, plain(label), color=colour, fontsize=9, va="center", transform=axes.transAxes)


def _spread_out(heights: Sequence[float], distance: float) -> list[float]:
    """Move ascending heights as little as needed to be ``distance`` apart and, if they fit, between 0 and 1."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + distance if moved else 0.0))
    ceiling = max(1.0, (len(moved) - 1) * distance)
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - distance
    return moved


def _last(series: Series) -> tuple[float, float] | None:
    """The last point of a line; None if it has none."""
    return next(((x, y) for x, y in zip(series.x[::-1], series.y[::-1], strict=True) if math.isfinite(y)), None)


def _draw_points(axes: Axes, rows: Sequence[PointsRow]) -> None:
    """Draw one row per method, the first at the top: its results, their mean, and the mean's interval."""
    for y, row in enumerate(rows):
        colour = COLOURS[row.colour % len(COLOURS)]
        axes.scatter(row.values, [y + 0.2] * len(row.values), color=colour, s=14, alpha=0.4, linewidths=0)
        if row.interval:
            axes.plot(row.interval, [y, y], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(row.mean, y, "D", color=colour, markersize=7, markeredgecolor="white")
        axes.annotate(
            number_text(row.mean), (row.mean, y), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [_wrapped(row) for row in rows], fontsize=9)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.grid(axis="y", visible=False)
    shown = [x for row in rows for x in (*row.values, row.mean, *(row.interval or ())) if math.isfinite(x)]
    low, high = min([0.0, *shown]), max([0.0, *shown])
    margin = 0.06 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(TickLabels())


def _height(panel: Panel) -> float:
    """The height in inches that a panel needs for all of its names."""
    if panel.heat:
        return max(PANEL_HEIGHT, 2 * FRAME_HEIGHT + HEAT_ROW_HEIGHT * len(panel.heat.rows))
    named = len(panel.dots) or sum(not each.faint for each in panel.series)
    lines = max((_wrapped(row).count("\n") + 1 for row in panel.dots), default=1)
    rows = max(ROW_HEIGHT, LABEL_HEIGHT * (lines + 0.5)) * len(panel.dots)
    return max(PANEL_HEIGHT, FRAME_HEIGHT + rows, FRAME_HEIGHT + LABEL_HEIGHT * named)


def _wrapped(row: PointsRow) -> str:
    """The label of a row of points in lines that leave room for the points."""
    return textwrap.fill(plain(row.label), _LABEL_WIDTH)

"""Panels as figures of plotly: plain JSON, which the library in the page draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from seqrl_cli.reports.plot.curves import HeatMap, Panel, PointsRow, Series
from seqrl_cli.reports.plot.style import COLOURS, plain

_DASHES = ("solid", "dash", "dot", "dashdot")
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#333333"}


def figures_of(panels: Sequence[Panel]) -> list[tuple[str, str, dict[str, Any]]]:
    """A title, what the y axis shows, and a figure for each panel; grids of small panels become a figure each."""
    return [
        (plain(part.title), plain(part.y_label), {"data": _traces(part), "layout": _layout(part)})
        for panel in panels
        for part in panel.small or (panel,)
    ]


def label_text(name: str) -> str:
    """A name as a label of plotly's, which would otherwise read tags in it."""
    return escape(plain(name))


def _layout(panel: Panel) -> dict[str, Any]:
    kind = "log" if panel.logarithmic else "-"
    bottom = {"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0}
    rows = max(len(panel.dots), len(panel.heat.rows) if panel.heat else 0)
    return {
        "xaxis": {"title": {"text": label_text(panel.x_label)}, "type": kind, "zeroline": False, "automargin": True},
        "yaxis": {"type": kind, "zeroline": False, "automargin": True},
        "height": 320 + 24 * max(rows, len(panel.labels)),
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "legend": bottom,
        "showlegend": bool(panel.series) and len(panel.labels) > 1,
        "font": _FONT,
        "hovermode": "closest",
        "template": "none",
    }


def _traces(panel: Panel) -> list[dict[str, Any]]:
    if panel.heat is not None:
        return [_heat(panel.heat)]
    lines = [trace for series in panel.series for trace in _line(series)]
    return [*lines, *(trace for row in panel.dots for trace in _points(row))]


def _line(series: Series) -> list[dict[str, Any]]:
    """A line, before it its band; both are shown and hidden together."""
    rounds, number = divmod(series.colour, len(COLOURS))
    colour, label = COLOURS[number], label_text(series.label)
    line = {"color": colour, "width": 1 if series.faint else 2, "dash": _DASHES[(series.dash + rounds) % len(_DASHES)]}
    shared = {"legendgroup": label, "name": label, "x": list(series.x), "type": "scatter", "mode": "lines"}
    found = []
    if series.low is not None and series.high is not None:
        edge = {**shared, "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
        found += [
            {**edge, "y": _numbers(series.low)},
            {**edge, "y": _numbers(series.high), "fill": "tonexty", "fillcolor": _pale(colour)},
        ]
    opacity = 0.45 if series.faint else 1
    mode = "lines+markers" if len(series.x) == 1 else "lines"
    return [
        *found,
        {
            **shared,
            "mode": mode,
            "y": _numbers(series.y),
            "line": line,
            "opacity": opacity,
            "showlegend": not series.faint,
        },
    ]


def _points(row: PointsRow) -> list[dict[str, Any]]:
    """The results of a row, and their mean with its interval."""
    colour, label = COLOURS[row.colour % len(COLOURS)], label_text(row.label)
    low, high = row.interval or (row.mean, row.mean)
    error = {"type": "data", "symmetric": False, "array": [high - row.mean], "arrayminus": [row.mean - low]}
    shared = {"type": "scatter", "mode": "markers", "name": label, "showlegend": False}
    return [
        {
            **shared,
            "x": _numbers(row.values),
            "y": [label] * len(row.values),
            "marker": {"color": _pale(colour, 0.5), "size": 8, "symbol": "circle-open"},
        },
        {
            **shared,
            "x": [row.mean],
            "y": [label],
            "marker": {"color": colour, "size": 11, "symbol": "line-ns-open", "line": {"width": 3}},
            "error_x": {**error, "color": colour},
        },
    ]


def _heat(heat: HeatMap) -> dict[str, Any]:
    rows = heat.values[::-1]  # plotly's first row is at the bottom
    return {
        "type": "heatmap",
        "z": [_numbers(row) for row in rows],
        "x": [label_text(name) for name in heat.columns],
        "y": [label_text(name) for name in heat.rows[::-1]],
        "colorscale": "Viridis",
    }


def _numbers(values: Sequence[float]) -> list[float | None]:
    """Numbers for JSON; a gap where there is none."""
    return [value if math.isfinite(value) else None for value in values]


def _pale(colour: str, alpha: float = 0.18) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"

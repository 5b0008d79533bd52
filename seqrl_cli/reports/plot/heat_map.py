"""A heat map: a matrix as shaded cells with their values."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from seqrl_cli.reports.plot.curves import HeatMap
from seqrl_cli.reports.plot.style import INK, number_text, plain

ROW_HEIGHT = 0.36  # inches
_MAX_TEXT = 12  # columns that have room for numbers


def draw_heat_map(axes: Axes, heat: HeatMap) -> None:
    """Draw a matrix; darker is more, from 0 to 1 where all values are shares."""
    values = np.array(heat.values)
    shares = bool((values >= 0).all() and (values <= 1).all())
    low, high = (0.0, 1.0) if shares else (float(values.min()), float(values.max()))
    axes.imshow(values, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(len(heat.columns)), [plain(name) for name in heat.columns], rotation=30, ha="right")
    axes.set_yticks(range(len(heat.rows)), [plain(name) for name in heat.rows])
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if len(heat.columns) > _MAX_TEXT:
        return
    for row, cells in enumerate(values):
        for column, value in enumerate(cells):
            dark = high > low and (value - low) / (high - low) > 0.55
            text = number_text(round(float(value), 2))
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)

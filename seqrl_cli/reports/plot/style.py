"""What all figures share: colours, dashes, and numbers and names as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.ticker import Formatter

from seqrl_cli.console.text import printable
from seqrl_cli.reports.plot.curves import Series

# Okabe and Ito, "Color Universal Design": distinct under any common colour blindness; without yellow, bad on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
LABEL_HEIGHT = 0.21  # of a line's name
FRAME_HEIGHT = 1.0  # of what is above and below the axes
INK = "#333333"
SOFT_INK = "#5B5B5B"


def line_style(series: Series) -> tuple[str, Any]:
    """Colour and dashes; if there are more models than colours, dashes distinguish them."""
    rounds, colour = divmod(series.colour, len(COLOURS))
    return COLOURS[colour], DASHES[(series.dash + rounds) % len(DASHES)]


def plain(name: str) -> str:
    """A name on one line, without control characters, which SVG cannot contain."""
    return printable(" ".join(name.split()))


class TickLabels(Formatter):
    """Numbers as brief as possible, with more digits only if a tick would read as another number."""

    def __call__(self, value: float, position: int | None = None) -> str:
        """One number."""
        return number_text(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The numbers of an axis."""
        steps = [abs(second - first) for first, second in pairwise(values) if second != first]
        tolerance = 0.01 * min(steps, default=math.inf)
        for digits in range(3, 10):
            labels = [number_text(value, digits) for value in values]
            if all(
                abs(float(label.replace(",", "")) - value) <= tolerance
                for label, value in zip(labels, values, strict=True)
            ):
                break
        return labels


def number_text(value: float, digits: int = 3) -> str:
    """A number as briefly as possible, for example 1,200 or 3.5 or 0.021, with ``digits`` significant digits."""
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.{digits - 3}f}" if abs(value) >= 100 else f"{value:.{digits}g}"

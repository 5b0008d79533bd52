"""Lists with one line per entry at any width, whose long names are shortened in their middle; and small charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.text import Text

from seqrl_cli.console.text import printable

_GAP = "  "
_MIN_NAME = 28  # characters that a name keeps before columns are left out for it
_ELLIPSIS = "…"
_BLOCKS = "▁▂▃▄▅▆▇█"


def print_list(header: Sequence[str], rows: Sequence[dict[str, Any]], rich: RichConsole) -> None:
    """Print a table with one line per row, whose first column is a name.

    Args:
        header: keys of the columns; the last are left out first where there is no room.
        rows: values by key; None is shown as a dash.
        rich: the console to print on.
    """
    _print(list(header), [[_text(row[key]) for key in header] for row in rows], rich)


def _print(header: list[str], cells: list[list[str]], rich: RichConsole) -> None:
    space = rich.width - 2
    widths = [max(map(cell_len, column)) for column in zip(header, *cells, strict=True)]
    name = min(widths[0], _MIN_NAME)
    kept = len(header)
    while kept > 2 and name + sum(len(_GAP) + width for width in widths[1:kept]) > space:
        kept -= 1
    widths[0] = min(widths[0], space - sum(len(_GAP) + width for width in widths[1:kept]))
    numeric = [all(row[index][:1] in "0123456789-–" for row in cells) for index in range(kept)]
    rich.print()
    rich.print(Text(f" {_line(header, widths, numeric)}", "bold"), soft_wrap=True)
    rich.print(f" {'─' * (sum(widths[:kept]) + len(_GAP) * (kept - 1))}", soft_wrap=True)
    for row in cells:
        rich.print(
            Text(printable(f" {_line([shortened(row[0], widths[0]), *row[1:]], widths, numeric)}")), soft_wrap=True
        )
    if header[kept:] or any(cell_len(row[0]) > widths[0] for row in cells):
        left_out = f"no room here for {', '.join(header[kept:])}: " if header[kept:] else "names are shortened: "
        rich.print(Text(f"note: {left_out}a wider terminal and --json show all", "dim"), soft_wrap=True)
    rich.print()


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = []
    for text, width, right in zip(row, widths, numeric, strict=False):
        padding = " " * (width - cell_len(text))
        parts.append(padding + text if right else text + padding)
    return _GAP.join(parts).rstrip()


def shortened(name: str, width: int) -> str:
    """A name of at most ``width`` characters: its end tells runs of one dataset apart, so the middle is left out."""
    if cell_len(name) <= width:
        return name
    end = max(1, (width - 1) * 2 // 3)
    return name[: width - 1 - end] + _ELLIPSIS + name[-end:]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def spark(values: Sequence[float], width: int = 48) -> str:
    """Finite values as a row of blocks; several values share a block where there are more than fit."""
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return ""
    if len(values) > width:
        edges = [round(index * len(values) / width) for index in range(width + 1)]
        values = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, high = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)

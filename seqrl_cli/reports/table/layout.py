"""A table as lines of text: names aligned left, numbers aligned right, headings across all columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len

GAP = "  "  # between columns
MIN_NAME_WIDTH = 12
"""Characters that names have at least."""


@dataclass(frozen=True)
class TextRow:
    """One row.

    Attributes:
        cells: a name, then one text per column; a name alone is a heading, and no cell at all an empty line.
        style: name of a style of Rich's, for example ``"bold"``.
    """

    cells: tuple[str, ...] = ()
    style: str = ""


def table_width(header: Sequence[str], rows: Sequence[TextRow], name_width: int | None = None) -> int:
    """Characters of the widest line, headings aside; ``name_width`` as in :func:`layout_lines`."""
    return sum(_widths(header, rows, name_width)) + len(GAP) * (len(header) - 1)


def fitting_name_width(header: Sequence[str], rows: Sequence[TextRow], width: int) -> int | None:
    """Characters at which names must wrap for the table to fit a width; None if it fits as it is."""
    too_wide = table_width(header, rows) - width
    if too_wide <= 0:
        return None
    widest = max((cell_len(row.cells[0]) for row in rows if len(row.cells) > 1), default=0)
    return max(widest - too_wide, MIN_NAME_WIDTH)


def fitting_columns(header: Sequence[str], rows: Sequence[TextRow], width: int, least: int) -> int:
    """How many of the first columns fit a width, ``least`` at least; no row is a heading."""
    for kept in range(len(header), least, -1):
        if table_width(header[:kept], [TextRow(row.cells[:kept]) for row in rows]) <= width:
            return kept
    return least


def no_room(left_out: Sequence[str]) -> list[str]:
    """The note of columns that were left out, if any were."""
    names = ", ".join(title.replace("\n", " ") for title in left_out)
    return [f"no room here for {names}: a wider terminal, -f csv and --json show them"] if left_out else []


def layout_lines(
    header: Sequence[str], rows: Sequence[TextRow], width: int, name_width: int | None = None
) -> list[TextRow]:
    """Lay out the table as lines, each a row of one cell with its style.

    Args:
        header: titles of all columns; the last line of each title is directly above the rule.
        rows: the rows below.
        width: characters at which a heading wraps.
        name_width: characters at which a name wraps, with its further lines indented; None to never wrap.
    """
    widths = _widths(header, rows, name_width)
    titles = [title.split("\n")[::-1] for title in header]
    above = list(zip_longest(*titles, fillvalue=""))[::-1]
    lines = [TextRow((_line(cells, widths),), "dim") for cells in above]
    lines.append(TextRow(("─" * table_width(header, rows, name_width),)))
    for row in rows:
        is_heading = len(row.cells) == 1
        first, *others = wrap_name(row.cells[0], width if is_heading else name_width) if row.cells else [""]
        lines.append(TextRow((_line((first, *row.cells[1:]), widths),), row.style))
        lines += [TextRow((line,), row.style) for line in others]
    return lines


def wrap_name(name: str, width: int | None) -> list[str]:
    """Wrap a name into lines of at most ``width`` characters; lines after the first are indented.

    Lines break between words; words too long for a line break after hyphens, commas and slashes.
    """
    if width is None or cell_len(name) <= width:
        return [name]
    indent = name[: len(name) - len(name.lstrip())]
    lines = [indent]
    empty = True
    for word in re.findall(r"\S+\s*", name):
        fits = cell_len(word.rstrip()) <= width - len(indent) - 1
        for part in [word] if fits else re.findall(r"[^-,/]+[-,/]*|[-,/]+", word):
            if cell_len(lines[-1] + part.rstrip()) > width and not empty:
                lines.append(f"{indent} ")
            lines[-1] += part
            empty = False
    return [line.rstrip() for line in lines]


def _widths(header: Sequence[str], rows: Sequence[TextRow], name_width: int | None) -> list[int]:
    """The width of each column in characters."""
    whole = [row.cells for row in rows if len(row.cells) > 1]
    names = [line for cells in whole for line in wrap_name(cells[0], name_width)]
    columns = [[*header[0].split("\n"), *names]]
    columns += [[*title.split("\n"), *cells] for title, *cells in zip(header[1:], *(c[1:] for c in whole), strict=True)]
    return [max(map(cell_len, column)) for column in columns]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line: the first cell aligned left in its column, the others aligned right."""
    name, *others = cells
    padded = [name + " " * (widths[0] - cell_len(name))]
    padded += [" " * (width - cell_len(cell)) + cell for cell, width in zip(others, widths[1:], strict=False)]
    return GAP.join(padded).rstrip()

"""A table as lines of text: names on the left, numbers on the right, and headings as wide as they like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len

GAP = "  "  # between columns


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        cells: a name, then a text for each column; a name alone is a heading, and nothing at all an empty line.
        style: Rich's, for example ``"bold"``.
    """

    cells: tuple[str, ...] = ()
    style: str = ""


def table_width(header: Sequence[str], rows: Sequence[Row], room: int | None = None) -> int:
    """Characters of the widest line but for headings; ``room`` as for :func:`layout_lines`."""
    return sum(_widths(header, rows, room)) + len(GAP) * (len(header) - 1)


def layout_lines(header: Sequence[str], rows: Sequence[Row], width: int, room: int | None = None) -> list[Row]:
    """Lines of one cell each, with their styles.

    Args:
        header: titles of all columns; one that has several lines stands with its last line above the rule.
        rows: what is below.
        width: characters that a heading may take before it goes on in another line.
        room: characters that a name may take before it goes on in another line, further in; None = what it needs.
    """
    widths = _widths(header, rows, room)
    titles = [title.split("\n")[::-1] for title in header]
    above = list(zip_longest(*titles, fillvalue=""))[::-1]
    lines = [Row((_line(cells, widths),), "dim") for cells in above]
    lines.append(Row(("─" * table_width(header, rows, room),)))
    for row in rows:
        first, *others = wrap_name(row.cells[0], width if len(row.cells) == 1 else room) if row.cells else [""]
        lines.append(Row((_line((first, *row.cells[1:]), widths),), row.style))
        lines += [Row((line,), row.style) for line in others]
    return lines


def wrap_name(name: str, room: int | None) -> list[str]:
    """A name in lines of at most ``room`` characters, those after the first one further in.

    It is cut between words, and words that are too long for a line after hyphens, commas and slashes.
    """
    first = name[: len(name) - len(name.lstrip())]
    if room is None or cell_len(name) <= room:
        return [name]
    lines, empty, further = [first], True, f"{first} "
    for word in re.findall(r"\S+\s*", name):
        fits = cell_len(word.rstrip()) <= room - len(further)
        for part in [word] if fits else re.findall(r"[^-,/]+[-,/]*|[-,/]+", word):
            if cell_len(lines[-1] + part.rstrip()) > room and not empty:
                lines.append(further)
            lines[-1], empty = lines[-1] + part, False
    return [line.rstrip() for line in lines]


def _widths(header: Sequence[str], rows: Sequence[Row], room: int | None) -> list[int]:
    """Characters of each column."""
    whole = [row.cells for row in rows if len(row.cells) > 1]
    names = [line for cells in whole for line in wrap_name(cells[0], room)]
    columns = [[*header[0].split("\n"), *names]]
    columns += [[*title.split("\n"), *cells] for title, *cells in zip(header[1:], *(c[1:] for c in whole), strict=True)]
    return [max(map(cell_len, column)) for column in columns]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left of its column, the others to the right of theirs."""
    name, *others = cells
    padded = [name + " " * (widths[0] - cell_len(name))]
    padded += [" " * (width - cell_len(cell)) + cell for cell, width in zip(others, widths[1:], strict=False)]
    return GAP.join(padded).rstrip()

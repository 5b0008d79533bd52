"""Tables of rows and lists of facts, as Rich draws them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from seqrl_cli.console.text import fact_text, printable

_MIN_FOLDED_WIDTH = 10  # characters that the folding column keeps


def rows_table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], width: int, title: str | None = None
) -> Table | list[str]:
    """A plain table: numbers align right, and only the widest column folds.

    Args:
        header: names of the columns.
        rows: values of the rows, in the order of the columns.
        width: columns of the terminal.
        title: text above the table.

    Returns:
        The table; or, if it is wider than the terminal, one paragraph per row.
    """
    values = [list(row) for row in rows]
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in values]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    folded = max(range(1, len(header)), key=widths.__getitem__, default=0)  # never the first, which has the names
    needed = sum(widths) + 2 * len(header) + 1 - max(0, widths[folded] - _MIN_FOLDED_WIDTH)
    if needed > width:
        return [_paragraph(header, row) for row in cells]
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(header):
        numeric = bool(values) and all(isinstance(row[index], int | float) for row in values)
        justify: Literal["right", "left"] = "right" if numeric else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=index != folded)
    for row in cells:
        table.add_row(*(Text(printable(cell)) for cell in row))  # as Text, which is not parsed as markup
    return table


def _paragraph(header: Sequence[str], cells: Sequence[str]) -> str:
    name, *others = cells
    pairs = zip(header[1:], others, strict=True)
    return "\n  ".join([name, *(f"{key}: {value}" for key, value in pairs if value)])


def facts_grid(facts: Mapping[str, Any]) -> Table:
    """Labels and values, one pair per line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        text = fact_text(value, grouped=not key.endswith("seed"))
        table.add_row(Text(printable(key)), Text(printable(text)))
    return table

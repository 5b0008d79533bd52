"""What all tables share: lines and notes on the terminal, records as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from seqrl_cli.console import printable
from seqrl_cli.reports.table.escape import spreadsheet
from seqrl_cli.reports.table.layout import TextRow


def print_lines(lines: Iterable[TextRow], console: Console) -> None:
    """Print lines of :func:`~seqrl_cli.reports.table.layout.layout_lines`, then an empty one."""
    for line in lines:
        console.print(Text(printable(f" {''.join(line.cells)}".rstrip()), line.style), soft_wrap=True)
    console.print()


def print_notes(notes: Iterable[str], console: Console) -> None:
    """Print the notes below a table."""
    for note in notes:
        console.print(f"note: {printable(note)}", style="dim", highlight=False, markup=False)


def records_csv(records: Sequence[Mapping[str, Any]], fields: Sequence[str] = ()) -> str:
    """Records below a header line; unknown values are empty.

    Args:
        records: the records, all with the same keys.
        fields: these keys; may be left out if there is a record.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=fields or list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: spreadsheet(value) if isinstance(value, str) else value for key, value in record.items()})
    return text.getvalue()

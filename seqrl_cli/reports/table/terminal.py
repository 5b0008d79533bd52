"""A report on the terminal, as wide as the console is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from seqrl_cli.console import printable
from seqrl_cli.reports.table.build import ReferenceRow, ResultRow, ResultsTable, remarks
from seqrl_cli.reports.table.comparison import NINE_DATASETS, Cell, Column, Comparison, dataset_order, dataset_titles
from seqrl_cli.reports.table.deltas import DeltaRow
from seqrl_cli.reports.table.layout import Row, layout_lines, table_width, wrap_name
from seqrl_cli.reports.table.text import (
    MISSING,
    cell_text,
    delta_text,
    fixed,
    interval_text,
    iqm_text,
    score_interval_text,
    score_text,
)


@dataclass(frozen=True)
class _Statistic:
    """One numeric column: how it reads off a result, a reference, a difference and a published figure."""

    title: str
    result: Callable[[ResultRow], str]
    reference: Callable[[ReferenceRow], str] = lambda row: ""
    delta: Callable[[DeltaRow], str] = lambda row: ""
    published: Callable[[Cell], str] = lambda cell: ""


_STATISTICS = (
    _Statistic(
        "n",
        lambda row: str(row.return_.count),
        lambda row: "" if row.episodes is None else str(row.episodes),
        lambda row: str(row.pairs),
    ),
    _Statistic(
        "score ± s.e.",
        lambda row: score_text(row.score),
        lambda row: MISSING if row.score is None else fixed(100 * row.score),
        lambda row: delta_text(row.score),
        cell_text,
    ),
    _Statistic(
        "95 % interval",
        lambda row: score_interval_text(row.score),
        lambda row: interval_text(row.interval) if row.interval else "",
        lambda row: interval_text(row.score_interval),
    ),
    _Statistic(
        "return",
        lambda row: fixed(row.return_.mean, 0),
        lambda row: fixed(row.mean_return, 0),
        lambda row: delta_text(row.return_, digits=0),
    ),
    _Statistic("IQM", lambda row: iqm_text(row.score)),
    _Statistic("steps", lambda row: f"{row.steps:.0f}"),
    _Statistic("fell", lambda row: f"{100 * row.terminated:.0f} %"),
    _Statistic("s/step", lambda row: MISSING if row.seconds_per_step is None else f"{row.seconds_per_step:.3f}"),
)
_ESSENTIAL = 4
_HEADING = 15  # characters a line of a method's name above its column
_LEAST_ROOM = 12  # characters that a line of a method's name has at least


def print_table(report: ResultsTable, console: Console) -> None:
    """Print our results, then methods side by side when published figures are wanted, then the notes."""
    left_out: list[str] = []
    if report.rows or report.references:
        left_out += _print_results(report, console)
    if report.published:
        left_out += _print_comparison(report, console)
    room = f"no room here for {', '.join(left_out)}: a wider terminal, -f csv and --json have them"
    for note in [room] * bool(left_out) + list(report.notes):
        console.print(f"note: {printable(note)}", style="dim", highlight=False, markup=False)


def _print_results(report: ResultsTable, console: Console) -> list[str]:
    """Print as many columns as fit; the titles of those beyond the essential ones that had to go."""
    room, space = None, _space(console)
    for kept in range(len(_STATISTICS), _ESSENTIAL - 1, -1):
        header = ["method", *(statistic.title for statistic in _STATISTICS[:kept])]
        rows = _result_rows(report, _STATISTICS[:kept])
        too_wide = table_width(header, rows) - space
        if too_wide <= 0:
            break
    else:
        longest = max(cell_len(row.cells[0]) for row in rows if len(row.cells) > 1)
        room = max(longest - too_wide, _LEAST_ROOM)
    _print_lines(layout_lines(header, rows, space, room), console)
    return [statistic.title for statistic in _STATISTICS[kept:]]


def _result_rows(report: ResultsTable, statistics: Sequence[_Statistic]) -> list[Row]:
    """Our results by dataset, each with what it is measured against."""
    rows: list[Row] = []
    datasets = {row.dataset for row in report.rows} | {row.dataset for row in report.references}
    for dataset in sorted(datasets, key=dataset_order):
        rows += [Row()] * bool(rows) + [Row((dataset,), "bold")]
        for row in (row for row in report.rows if row.dataset == dataset):
            rows += _own_rows(row, report.deltas, statistics)
        for reference in (reference for reference in report.references if reference.dataset == dataset):
            rows.append(Row((f"  {reference.name}", *(each.reference(reference) for each in statistics)), "dim"))
        for column in report.comparison.published().columns:
            if cell := column.cells.get(dataset):
                rows.append(
                    Row((f"  {column.title}, published", *(each.published(cell) for each in statistics)), "dim")
                )
    return rows


def _own_rows(row: ResultRow, deltas: Sequence[DeltaRow], statistics: Sequence[_Statistic]) -> list[Row]:
    """A method, what has to be said of it, and what fine-tuning changed."""
    rows = [Row((f"  {row.method}", *(statistic.result(row) for statistic in statistics)))]
    rows += [Row((f"    {remark}",), "dim") for remark in remarks([row])]
    for delta in deltas:
        if (delta.dataset, delta.method) == (row.dataset, row.method):
            rows.append(Row(("    − offline", *(statistic.delta(delta) for statistic in statistics)), "bold"))
    return rows


def _print_comparison(report: ResultsTable, console: Console) -> list[str]:
    """Print the published settings, with our columns where all of them have room; what had to be left out.

    Our results stand above already, those on D4RL's data with the published figures right below them.
    """
    comparison = report.comparison.of_d4rl()
    if _fits(comparison.columns, comparison, console):
        _print_columns(comparison.columns, comparison, console)
        return []
    _print_columns(comparison.published().columns, comparison, console)
    averaged = any(column.own and column.average(NINE_DATASETS) is not None for column in comparison.columns)
    return ["our averages"] * averaged


def _print_columns(columns: Sequence[Column], comparison: Comparison, console: Console) -> None:
    """Print one sheet, or several with a part of the columns each where the console is too narrow."""
    fitting = next((n for n in range(len(columns), 1, -1) if _fits(columns[:n], comparison, console)), 1)
    header, rows = _comparison_rows(columns[:fitting], comparison)
    _print_lines(layout_lines(header, rows, _space(console)), console)
    if columns[fitting:]:
        _print_columns(columns[fitting:], comparison, console)


def _fits(columns: Sequence[Column], comparison: Comparison, console: Console) -> bool:
    return table_width(*_comparison_rows(columns, comparison)) <= _space(console)


def _comparison_rows(columns: Sequence[Column], comparison: Comparison) -> tuple[list[str], list[Row]]:
    """The header, and the rows of those settings that one of the columns has."""
    header = ["", *("\n".join(map(str.strip, wrap_name(column.title, _HEADING))) for column in columns)]
    rows: list[Row] = []
    for group in comparison.groups:
        shown = [dataset for dataset in group if any(dataset in column.cells for column in columns)]
        if shown:
            rows.append(Row((dataset_titles(shown[0])[0],), "bold"))
        for dataset in shown:
            cells = (cell_text(column.cells.get(dataset)) for column in columns)
            rows.append(Row((f"  {dataset_titles(dataset)[1]}", *cells)))
        rows += [Row()] * bool(shown)
    for title, values in Comparison(tuple(columns), comparison.groups).averages():
        rows.append(Row((title, *(MISSING if value is None else f"{value:.1f}" for value in values)), "bold"))
    return header, rows


def _space(console: Console) -> int:
    """Characters of a line, without the margins."""
    return console.width - 2


def _print_lines(lines: Sequence[Row], console: Console) -> None:
    """Print lines with a margin, and an empty line above and below."""
    console.print()
    for line in lines:
        console.print(Text(printable(f" {''.join(line.cells)}".rstrip()), line.style), soft_wrap=True)
    console.print()

"""The table on the terminal, as wide as the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from seqrl_cli.console import counted, percent
from seqrl_cli.reports.table.build import ResultsTable
from seqrl_cli.reports.table.comparison import NINE_DATASETS, Cell, Column, Comparison, dataset_order, dataset_titles
from seqrl_cli.reports.table.deltas import DeltaRow
from seqrl_cli.reports.table.layout import TextRow, fitting_name_width, layout_lines, table_width, wrap_name
from seqrl_cli.reports.table.output import print_lines, print_notes
from seqrl_cli.reports.table.rows import ReferenceRow, ResultRow, count_text, remarks
from seqrl_cli.reports.table.text import (
    MISSING,
    cell_text,
    delta_interval_text,
    delta_text,
    fixed,
    interval_text,
    iqm_text,
    mean_interval_text,
    measured,
    return_digits,
    return_text,
    score_text,
)


@dataclass(frozen=True)
class _Statistic:
    """One numeric column: its text for a result, a reference beside results, a difference and a published figure."""

    title: str
    result: Callable[[ResultRow], str]
    reference: Callable[[ReferenceRow, Sequence[ResultRow]], str] = lambda row, beside: ""
    delta: Callable[[DeltaRow], str] = lambda row: ""
    published: Callable[[Cell], str] = lambda cell: ""


_STATISTICS = (
    _Statistic(
        "seeds\n× n",
        count_text,
        lambda row, beside: "" if row.episodes is None else str(row.episodes),
        lambda row: counted(row.pairs, "seed"),
    ),
    _Statistic(
        "score\n± s.e.",
        lambda row: score_text(row.score),
        lambda row, beside: MISSING if row.score is None else fixed(100 * row.score),
        lambda row: delta_text(row.score),
        cell_text,
    ),
    _Statistic(
        "95 %\ninterval",
        mean_interval_text,
        lambda row, beside: interval_text(row.interval) if row.interval else "",
        delta_interval_text,
    ),
    _Statistic(
        "return",
        return_text,
        lambda row, beside: measured(row.mean_return, return_digits(beside)),
        lambda row: delta_text(row.return_, digits=0 if row.score is not None else 1),
    ),
    _Statistic("IQM", iqm_text),
    _Statistic("steps", lambda row: f"{row.steps:.0f}"),
    _Statistic("terminated", lambda row: percent(row.terminated, 0)),
    _Statistic("s/step", lambda row: MISSING if row.seconds_per_step is None else f"{row.seconds_per_step:.3f}"),
)
_ESSENTIAL = 4  # columns that are always printed
_TITLE_WIDTH = 15  # characters at which a method's name above its column wraps


def print_table(table: ResultsTable, console: Console) -> None:
    """Print our results, then methods side by side if published figures are included, then the notes."""
    left_out: list[str] = []
    if table.rows or table.references:
        left_out += _print_results(table, console)
    if table.published:
        left_out += _print_comparison(table, console)
    notes = list(table.notes)
    if left_out:
        notes.insert(0, f"no room here for {', '.join(left_out)}: a wider terminal, -f csv and --json show them")
    print_notes(notes, console)


def _print_results(table: ResultsTable, console: Console) -> list[str]:
    """Print as many columns as fit, at least the essential ones; returns the titles of the others."""
    name_width = None
    space = _space(console)
    for kept in range(len(_STATISTICS), _ESSENTIAL - 1, -1):
        header = ["method", *(statistic.title for statistic in _STATISTICS[:kept])]
        rows = _result_rows(table, _STATISTICS[:kept])
        if table_width(header, rows) <= space:
            break
    else:
        name_width = fitting_name_width(header, rows, space)
    _print_lines(layout_lines(header, rows, space, name_width), console)
    return [statistic.title for statistic in _STATISTICS[kept:]]


def _result_rows(table: ResultsTable, statistics: Sequence[_Statistic]) -> list[TextRow]:
    """Our results by dataset, each followed by what it is compared with."""
    rows: list[TextRow] = []
    datasets = {row.dataset for row in table.rows} | {row.dataset for row in table.references}
    for dataset in sorted(datasets, key=dataset_order):
        if rows:
            rows.append(TextRow())
        rows.append(TextRow((dataset,), "bold"))
        own = [row for row in table.rows if row.dataset == dataset]
        for row in own:
            rows += _own_rows(row, table.deltas, statistics)
        for reference in (reference for reference in table.references if reference.dataset == dataset):
            cells = (each.reference(reference, own) for each in statistics)
            rows.append(TextRow((f"  {reference.name}", *cells), "dim"))
        for column in table.comparison.published().columns:
            if cell := column.cells.get(dataset):
                rows.append(
                    TextRow((f"  {column.title}, published", *(each.published(cell) for each in statistics)), "dim")
                )
    return rows


def _own_rows(row: ResultRow, deltas: Sequence[DeltaRow], statistics: Sequence[_Statistic]) -> list[TextRow]:
    """A method, the settings that set it apart, its remarks, and what fine-tuning changed."""
    rows = [TextRow((f"  {row.method}", *(statistic.result(row) for statistic in statistics)))]
    beneath = [*([row.differs] if row.differs else []), *remarks([row])]
    rows += [TextRow((f"    {text}",), "dim") for text in beneath]
    for delta in deltas:
        if (delta.dataset, delta.method) == (row.dataset, row.method):
            cells = (statistic.delta(delta) for statistic in statistics)
            rows.append(TextRow((f"    − {delta.before}", *cells), "bold"))
    return rows


def _print_comparison(table: ResultsTable, console: Console) -> list[str]:
    """Print the published settings, with our columns if all of them fit; returns what is left out.

    Our results are already printed above, those on D4RL's data directly followed by the published figures.
    """
    comparison = table.comparison.of_d4rl()
    if _fits(comparison.columns, comparison, console):
        _print_columns(comparison.columns, comparison, console)
        return []
    _print_columns(comparison.published().columns, comparison, console)
    averaged = any(column.own and column.average(NINE_DATASETS) is not None for column in comparison.columns)
    return ["our averages"] if averaged else []


def _print_columns(columns: Sequence[Column], comparison: Comparison, console: Console) -> None:
    """Print one table, or several with some of the columns each if the console is too narrow."""
    fitting = next((n for n in range(len(columns), 1, -1) if _fits(columns[:n], comparison, console)), 1)
    header, rows = _comparison_rows(columns[:fitting], comparison)
    _print_lines(layout_lines(header, rows, _space(console)), console)
    if columns[fitting:]:
        _print_columns(columns[fitting:], comparison, console)


def _fits(columns: Sequence[Column], comparison: Comparison, console: Console) -> bool:
    return table_width(*_comparison_rows(columns, comparison)) <= _space(console)


def _comparison_rows(columns: Sequence[Column], comparison: Comparison) -> tuple[list[str], list[TextRow]]:
    """The header, and the rows of the settings that at least one of the columns has."""
    header = ["", *("\n".join(map(str.strip, wrap_name(column.full_title, _TITLE_WIDTH))) for column in columns)]
    rows: list[TextRow] = []
    for group in comparison.groups:
        shown = [dataset for dataset in group if any(dataset in column.cells for column in columns)]
        if not shown:
            continue
        rows.append(TextRow((dataset_titles(shown[0])[0],), "bold"))
        for dataset in shown:
            cells = (cell_text(column.cells.get(dataset)) for column in columns)
            rows.append(TextRow((f"  {comparison.titles(dataset)[1]}", *cells)))
        rows.append(TextRow())
    for title, values in replace(comparison, columns=tuple(columns)).averages():
        rows.append(TextRow((title, *(MISSING if value is None else f"{value:.1f}" for value in values)), "bold"))
    return header, rows


def _space(console: Console) -> int:
    """Characters per line, without the margins."""
    return console.width - 2


def _print_lines(lines: Sequence[TextRow], console: Console) -> None:
    """Print lines with a margin, and an empty line above and below."""
    console.print()
    print_lines(lines, console)

"""A report on the terminal, as wide as the console is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from seqrl_cli.reports.deltas import DeltaRow
from seqrl_cli.reports.formats import (
    MISSING,
    cell_text,
    delta_text,
    fixed,
    interval_text,
    iqm_text,
    score_interval_text,
    score_text,
)
from seqrl_cli.reports.table import (
    OTHER_DATA,
    Column,
    Comparison,
    ReferenceRow,
    Report,
    ResultRow,
    dataset_order,
    dataset_titles,
    explored_text,
)


@dataclass(frozen=True)
class _Statistic:
    """One numeric column: how it reads off a result, off a reference and off a difference."""

    title: str
    result: Callable[[ResultRow], str]
    reference: Callable[[ReferenceRow], str] = lambda row: ""
    delta: Callable[[DeltaRow], str] = lambda row: ""


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
_LEAST_ROOM = 12  # characters that a line of a method's name has at least


def print_report(report: Report, console: Console) -> None:
    """Print our results, then methods side by side when published figures are wanted, then the notes."""
    left_out: list[str] = []
    if report.rows or report.references:
        table, left_out = _results_table(report, console)
        console.print(table)
    if report.published:
        for table in _comparison_tables(report.comparison, report.comparison.columns, console):
            console.print(table)
    room = f"no room here for {', '.join(left_out)}: a wider terminal, -f csv and --json have them"
    for note in [room] * bool(left_out) + list(report.notes):
        console.print(f"note: {note}", style="dim", highlight=False, markup=False)


def _results_table(report: Report, console: Console) -> tuple[Table, list[str]]:
    """The widest table that fits, and the columns beyond the essential ones that had to go, the last first."""
    for kept in range(len(_STATISTICS), _ESSENTIAL - 1, -1):
        table = _results_with(report, _STATISTICS[:kept])
        if _width(table, console) <= console.width:
            break
    else:
        room = _longest_name(report) - (_width(table, console) - console.width)
        table = _results_with(report, _STATISTICS[:kept], max(room, _LEAST_ROOM))
    return table, [statistic.title for statistic in _STATISTICS[kept:]]


def _longest_name(report: Report) -> int:
    names = [f"  {row.method}" for row in report.rows] + [f"  {row.name}" for row in report.references]
    return max(map(len, [*names, *(row.dataset for row in report.rows)]))


def _results_with(report: Report, statistics: Sequence[_Statistic], room: int = 1000) -> Table:
    """The table; a method's name goes on in lines of its own, further in, where it takes more than its ``room``."""
    table = _new_table(["method", *(statistic.title for statistic in statistics)])
    datasets = {row.dataset for row in report.rows} | {row.dataset for row in report.references}
    for index, dataset in enumerate(sorted(datasets, key=dataset_order)):
        if index:
            table.add_section()
        table.add_row(dataset, style="bold")
        for row in (row for row in report.rows if row.dataset == dataset):
            first, *others = _in_lines(row.method, room)
            table.add_row(first, *(statistic.result(row) for statistic in statistics))
            for line in others:
                table.add_row(line)
            if explored := explored_text([row]):
                table.add_row(f"    {explored}", style="dim")
            for delta in report.deltas:
                if (delta.dataset, delta.method) == (dataset, f"{row.method} − offline"):
                    values = (statistic.delta(delta) for statistic in statistics)
                    table.add_row("    − offline", *values, style="bold")
        for reference in (reference for reference in report.references if reference.dataset == dataset):
            values = (statistic.reference(reference) for statistic in statistics)
            table.add_row(f"  {reference.name}", *values, style="dim")
    return table


def _in_lines(name: str, room: int) -> list[str]:
    """A name in lines of at most ``room`` characters, all but the first further in; long words are cut at hyphens."""
    lines = ["  "]
    for word in re.findall(r"\S+\s*", name):
        for part in [word] if len(word.rstrip()) <= room - 3 else re.findall(r"[^-,]+[-,]?", word):
            if len(lines[-1] + part.rstrip()) > room and lines[-1].strip():
                lines.append("   ")
            lines[-1] += part
    return [line.rstrip() for line in lines]


def _comparison_tables(comparison: Comparison, columns: Sequence[Column], console: Console) -> list[Table]:
    """One table, or several with a part of the columns each where the console is too narrow."""
    table = _comparison_with(comparison, columns)
    if len(columns) == 1 or _width(table, console) <= console.width:
        return [table]
    fitting = next(
        (n for n in range(len(columns) - 1, 1, -1) if _fits(comparison, columns[:n], console)),
        1,
    )
    rest = _comparison_tables(comparison, columns[fitting:], console)
    return [_comparison_with(comparison, columns[:fitting]), *rest]


def _fits(comparison: Comparison, columns: Sequence[Column], console: Console) -> bool:
    return _width(_comparison_with(comparison, columns), console) <= console.width


def _comparison_with(comparison: Comparison, columns: Sequence[Column]) -> Table:
    table = _new_table(["", *(column.title.replace(" ", "\n") for column in columns)])
    for group in comparison.groups:
        heading = ""
        if comparison.is_apart(group):
            table.add_row(OTHER_DATA, style="bold")
        for dataset in group:
            if not any(dataset in column.cells for column in columns):
                continue
            quality, environment = dataset_titles(dataset)
            if quality not in (dataset, heading):
                heading = quality
                table.add_row(heading, style="bold")
            label = f"  {environment if heading else dataset}"
            table.add_row(label, *(cell_text(column.cells.get(dataset)) for column in columns))
        table.add_section()
    for title, values in Comparison(tuple(columns), comparison.groups).averages():
        table.add_row(title, *(MISSING if value is None else f"{value:.1f}" for value in values), style="bold")
    return table


def _new_table(titles: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for index, title in enumerate(titles):
        justify: Literal["left", "right"] = "right" if index else "left"
        table.add_column(title, justify=justify, no_wrap=bool(index), overflow="fold", vertical="bottom")
    return table


def _width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options.update(width=1000), table).maximum

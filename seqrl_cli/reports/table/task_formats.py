"""The table by task or domain on the terminal, as Markdown, LaTeX and CSV, and as rows for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from seqrl_cli.console import counted
from seqrl_cli.reports.statistics import Summary
from seqrl_cli.reports.table.escape import latex, markdown
from seqrl_cli.reports.table.layout import TextRow, layout_lines, table_width
from seqrl_cli.reports.table.output import print_lines, print_notes, records_csv
from seqrl_cli.reports.table.tasks import TaskRow, TaskTable
from seqrl_cli.reports.table.text import MISSING, fixed, interval_text, measured

_MEASURES = ("success", "success_at_end", "score", "return_")
_MIN_COLUMNS = 3  # columns that are always printed


@dataclass(frozen=True)
class _Column:
    """One numeric column: its title, and its text for a row; it is left out if all of its texts are dashes."""

    title: str
    text: Callable[[TaskRow], str]


_COLUMNS = (
    _Column("n", lambda row: str(row.episodes)),
    _Column("success %", lambda row: _mean(row.success)),
    _Column("score", lambda row: _mean(row.score)),
    _Column("95 % interval", lambda row: _interval(row)),
    _Column("return", lambda row: measured(row.return_.mean)),
    _Column("at end %", lambda row: _mean(row.success_at_end)),
    _Column("IQM", lambda row: _shown(row)(row.headline.iqm)),
    _Column("IQM interval", lambda row: interval_text(row.headline.iqm_interval, _shown(row))),
    _Column("seeds", lambda row: str(row.seeds)),
)
_HEADLINE_NOTE = "95 % interval and IQM are those of success, or of the score or the return where there is no success"


def print_task_table(table: TaskTable, console: Console) -> None:
    """Print as many columns as fit, and the notes."""
    columns = _used(table)
    for kept in range(len(columns), _MIN_COLUMNS - 1, -1):
        header = [table.by, *(column.title for column in columns[:kept])]
        rows = _text_rows(table, columns[:kept])
        if table_width(header, rows) <= console.width - 2:
            break
    console.print()
    print_lines(layout_lines(header, rows, console.width - 2), console)
    left_out = [column.title for column in columns[kept:]]
    room = f"no room here for {', '.join(left_out)}: a wider terminal, -f csv and --json show them"
    print_notes(([room] if left_out else []) + _all_notes(table), console)


def task_markdown(table: TaskTable) -> str:
    """One Markdown table, then the notes."""
    columns = _used(table)
    lines = [
        f"| {table.by.capitalize()} | Method | " + " | ".join(column.title for column in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for row in table.rows:
        cells = [markdown(_name(row)), markdown(row.method), *(column.text(row) for column in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    notes = "\n".join(f"- {markdown(note)}" for note in _all_notes(table))
    return "\n".join(lines) + f"\n\n{notes}\n"


def task_latex(table: TaskTable) -> str:
    """A table for a document that loads ``booktabs``; its caption is the notes."""
    columns = _used(table)
    titles = [latex(title) for title in (table.by.capitalize(), "Method", *(column.title for column in columns))]
    lines = [
        r"\begin{table}[h]",
        r"\centering",
        r"\small",
        rf"\begin{{tabular}}{{ll{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if row.kind == "all" and table.rows[number - 1].kind != "all":
            lines.append(r"\midrule")
        cells = [_name(row), row.method, *(column.text(row).replace(MISSING, "--") for column in columns)]
        lines.append(" & ".join(latex(cell) for cell in cells) + r" \\")
    caption = " ".join(f"{note[0].upper()}{note[1:]}." for note in _all_notes(table))
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex(caption)}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def task_records(table: TaskTable) -> list[dict[str, Any]]:
    """One flat object per row; ``low`` and ``high`` are ends of 95 % intervals, and unknown values None."""
    return [dict(_record(row)) for row in table.rows]


def task_csv(table: TaskTable) -> str:
    """The rows of :func:`task_records` below a header line; unknown values are empty."""
    return records_csv(task_records(table))


def _record(row: TaskRow) -> Iterator[tuple[str, Any]]:
    for key in ("kind", "name", "method", "tasks", "episodes", "seeds"):
        yield key, getattr(row, key)
    for key in _MEASURES:
        summary: Summary | None = getattr(row, key)
        name = key.rstrip("_")
        for statistic, interval in (("mean", "mean_interval"), ("iqm", "iqm_interval")):
            low, high = (getattr(summary, interval) if summary else None) or (None, None)
            column = f"mean_{name}" if statistic == "mean" else f"{name}_{statistic}"
            yield column, getattr(summary, statistic) if summary else None
            yield f"{column}_low", low
            yield f"{column}_high", high


def _used(table: TaskTable) -> list[_Column]:
    """The columns that any row has a value for."""
    return [column for column in _COLUMNS if any(column.text(row) != MISSING for row in table.rows)]


def _all_notes(table: TaskTable) -> list[str]:
    measures = {row.headline is row.success for row in table.rows}
    return [*table.notes, *([_HEADLINE_NOTE] if measures == {True, False} else [])]


def _text_rows(table: TaskTable, columns: Sequence[_Column]) -> list[TextRow]:
    """One line per row below a heading for its task; with one method, the heading is the method."""
    rows: list[TextRow] = []
    single = len(table.methods) == 1
    above = None
    for row in table.rows:
        heading = row.method if single else _name(row)
        if heading != above:
            rows += [TextRow(), TextRow((heading,), "bold")] if rows else [TextRow((heading,), "bold")]
            above = heading
        name = _name(row) if single else row.method
        style = "bold" if single and row.kind == "all" else ""
        rows.append(TextRow((f"  {name}", *(column.text(row) for column in columns)), style))
    return rows


def _name(row: TaskRow) -> str:
    """The task, the domain with its number of tasks, or how many tasks the row is the mean of."""
    if row.kind == "all":
        return f"mean of {counted(row.tasks, 'task')}"
    return row.name if row.kind == "task" else f"{row.name}, {counted(row.tasks, 'task')}"


def _mean(summary: Summary | None) -> str:
    return MISSING if summary is None else fixed(summary.mean)


def _interval(row: TaskRow) -> str:
    return interval_text(row.headline.mean_interval, _shown(row))


def _shown(row: TaskRow) -> Callable[[float], str]:
    """How the headline's numbers are written: percent with one decimal, returns as amounts."""
    return measured if row.headline is row.return_ else fixed

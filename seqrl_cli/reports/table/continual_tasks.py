"""The tasks of continual runs one by one: success, forgetting, and how well each task is inferred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from seqrl_cli.continual.run_files import TaskScore, success_matrix
from seqrl_cli.reports.continual_results import ContinualGroup, ContinualResult, cut_title
from seqrl_cli.reports.table.escape import latex, markdown
from seqrl_cli.reports.table.layout import TextRow, fitting_columns, layout_lines, no_room
from seqrl_cli.reports.table.output import print_lines, print_notes, records_csv
from seqrl_cli.reports.table.text import MISSING, fixed, measured

_TITLES = {
    "before": "before",
    "learned": "learned",
    "end": "end",
    "forgetting": "forgetting",
    "inferred_first": "first step",
    "inferred": "all steps",
    "inferred_episodes": "last step",
}
_INFERENCE_NOTE = (
    "first step, all steps, last step: where the inferred adapter is the right one after all tasks, in percent"
)
CUT_NOTE = (
    "cut after N steps: continual.max_steps ended these episodes, so their values do not compare with those of "
    "complete episodes"
)
_MIN_COLUMNS = 3  # the method, the task and one number


@dataclass(frozen=True)
class TaskRow:
    """One task of one method.

    Attributes:
        method: name of the method, with the settings that set it apart.
        task: the last part of its data's id, or all of it where two would be alike.
        seeds: runs behind the row.
        values: means over seeds by the keys of the columns; percent where success is reported. None where unknown.
        in_percent: whether the task reports success.
        cut_after: the ``continual.max_steps`` that ended episodes early; None for whole episodes.
    """

    method: str
    task: str
    seeds: int
    values: dict[str, float | None]
    in_percent: bool
    cut_after: int | None = None


def build_task_rows(groups: Sequence[ContinualGroup]) -> tuple[TaskRow, ...]:
    """A row per method and task, in their orders."""
    rows = []
    for group in groups:
        for number, name in enumerate(group.results[0].task_names):
            found = [_values(result, number) for result in group.results]
            in_percent = all(one.evaluations[-1].tasks[number].success is not None for one in group.results)
            means = {key: _mean([values[key] for values in found], in_percent, key) for key in _TITLES}
            rows.append(TaskRow(group.label, name, len(found), means, in_percent, group.cut_after))
    return tuple(rows)


def print_task_rows(rows: Sequence[TaskRow], console: Console) -> None:
    """Print a table and its notes."""
    header = [title.replace(" ", "\n") for title in _header(rows)]
    cells = [TextRow(_cells(row, rows)) for row in rows]
    kept = fitting_columns(header, cells, console.width - 2, _MIN_COLUMNS)
    console.print()
    print_lines(layout_lines(header[:kept], [TextRow(row.cells[:kept]) for row in cells], console.width - 2), console)
    print_notes((*no_room(header[kept:]), *task_rows_notes(rows)), console)


def task_rows_markdown(rows: Sequence[TaskRow]) -> str:
    """One Markdown table, then the notes."""
    header = _header(rows)
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + "---:|" * (len(header) - 2)]
    lines += ["| " + " | ".join(markdown(cell) for cell in _cells(row, rows)) + " |" for row in rows]
    return "\n".join(lines) + "\n\n" + "\n".join(f"- {markdown(note)}" for note in task_rows_notes(rows)) + "\n"


def task_rows_latex(rows: Sequence[TaskRow]) -> str:
    """A table for a document that loads ``booktabs``."""
    header = _header(rows)
    body = [[cell.replace(MISSING, "--") for cell in _cells(row, rows)] for row in rows]
    lines = [
        *(r"\begin{table}[h]", r"\centering", r"\small", rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}"),
        *(r"\toprule", " & ".join(map(latex, header)) + r" \\", r"\midrule"),
        *(" & ".join(map(latex, cells)) + r" \\" for cells in body),
        *(r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex('. '.join(task_rows_notes(rows)))}.}}", r"\end{table}"),
    ]
    return "\n".join(lines) + "\n"


def task_rows_records(rows: Sequence[TaskRow]) -> list[dict[str, Any]]:
    """One flat object per row."""
    return [_record(row) for row in rows]


def task_rows_csv(rows: Sequence[TaskRow]) -> str:
    """The rows of :func:`task_rows_records` below a header line; unknown values are empty."""
    return records_csv(task_rows_records(rows))


def _record(row: TaskRow) -> dict[str, Any]:
    facts = {"method": row.method, "cut_after": row.cut_after, "task": row.task, "seeds": row.seeds}
    return {**facts, "percent": row.in_percent, **row.values}


def _values(result: ContinualResult, number: int) -> dict[str, float | None]:
    """What is known of one task of a run."""
    matrix = success_matrix(list(result.evaluations))[:, number]
    learned = float(matrix[number + 1] if len(matrix) > len(result.task_names) else matrix[-1])
    end = float(matrix[-1])
    score: TaskScore = result.evaluations[-1].tasks[number]
    return {
        "before": float(matrix[0]),
        "learned": learned,
        "end": end,
        "forgetting": learned - end,
        "inferred_first": score.inferred_first,
        "inferred": score.inferred,
        "inferred_episodes": score.inferred_episodes,
    }


def _mean(values: Sequence[float | None], in_percent: bool, key: str) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return float(np.mean(known)) * (100.0 if in_percent or key.startswith("inferred") else 1.0)


def _shown(rows: Sequence[TaskRow]) -> list[str]:
    """Keys of the columns that any row has a value for."""
    return [key for key in _TITLES if any(row.values[key] is not None for row in rows)]


def _header(rows: Sequence[TaskRow]) -> list[str]:
    return ["method", "task", *(_TITLES[key] for key in _shown(rows))]


def _cells(row: TaskRow, rows: Sequence[TaskRow]) -> tuple[str, ...]:
    text: Callable[[float], str] = fixed if row.in_percent else measured
    values = (row.values[key] for key in _shown(rows))
    name = cut_title(row.method, row.cut_after)
    return (name, row.task, *(MISSING if value is None else text(value) for value in values))


def task_rows_notes(rows: Sequence[TaskRow]) -> tuple[str, ...]:
    """How to read the columns that the table has."""
    units = {"success in percent" if row.in_percent else "returns" for row in rows}
    unit = " or ".join(sorted(units, reverse=True))
    notes = [f"before, learned, end: {unit} before learning anything, right after the task, and after all"]
    if any(key.startswith("inferred") for key in _shown(rows)):
        notes.append(_INFERENCE_NOTE)
    return (*notes, CUT_NOTE) if any(row.cut_after is not None for row in rows) else tuple(notes)

"""The table of continual runs: a row per method, with what learning one task after another is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console

from seqrl_cli.reports.continual_results import ContinualGroup, ContinualResult, cut_title
from seqrl_cli.reports.statistics import Summary, named_generator, summarize
from seqrl_cli.reports.table.continual_tasks import CUT_NOTE
from seqrl_cli.reports.table.escape import latex, markdown
from seqrl_cli.reports.table.layout import TextRow, fitting_columns, layout_lines, no_room
from seqrl_cli.reports.table.output import print_lines, print_notes, records_csv
from seqrl_cli.reports.table.text import MISSING, fixed, interval_text, measured

_MIN_COLUMNS = 3
Value = Callable[[ContinualResult], float | None]


@dataclass(frozen=True)
class _Measure:
    """One number of a run.

    Attributes:
        key: key of the number in JSON.
        title: title of the number's column; empty for no column.
        value: reads it.
        unit: ``success`` is in percent, or a return where tasks report no success; ``fraction`` is always in percent.
        has_interval: whether a column with its interval follows.
    """

    key: str
    title: str
    value: Value
    unit: Literal["success", "fraction", "count"] = "success"
    has_interval: bool = False


_MEASURES = (
    _Measure("average", "average", lambda one: one.scores.average, has_interval=True),
    _Measure("forgetting", "forgetting", lambda one: one.scores.forgetting, has_interval=True),
    _Measure("retention_before", "", lambda one: one.scores.retention_before, unit="fraction"),
    _Measure("retention", "kept", lambda one: one.scores.retention, unit="fraction"),
    _Measure("inference", "inferred", lambda one: one.inference("inferred"), unit="fraction"),
    _Measure("learned", "learned", lambda one: one.scores.learned),
    _Measure("forgetting_at_end", "forgetting at end", lambda one: one.scores_at_end.forgetting),
    _Measure("average_at_end", "average at end", lambda one: one.scores_at_end.average),
    _Measure("largest_forgetting", "largest forgetting", lambda one: one.scores.largest_forgetting),
    _Measure("backward_transfer", "backward", lambda one: one.scores.backward_transfer),
    _Measure("forward_transfer", "forward", lambda one: one.scores.forward_transfer),
    _Measure("transfer", "transfer", lambda one: one.transfer, unit="fraction"),
    _Measure("area", "area", lambda one: one.scores.area),
    _Measure("inference_first", "first step", lambda one: one.inference("inferred_first"), unit="fraction"),
    _Measure("inference_episodes", "last step", lambda one: one.inference("inferred_episodes"), unit="fraction"),
    _Measure("trainable", "parameters", lambda one: one.record.trainable, unit="count"),
)


@dataclass(frozen=True)
class ContinualRow:
    """One method.

    Attributes:
        method: name of the method, with the settings that set it apart.
        seeds: runs behind the row.
        values: statistics over seeds by measure; percent where success is reported. None where nothing is known.
        in_percent: whether all tasks report success.
        cut_after: the ``continual.max_steps`` that ended episodes early; None for whole episodes.
    """

    method: str
    seeds: int
    values: dict[str, Summary | None]
    in_percent: bool
    cut_after: int | None = None

    @property
    def title(self) -> str:
        """The method, with a remark where episodes were cut."""
        return cut_title(self.method, self.cut_after)


@dataclass(frozen=True)
class ContinualTable:
    """Everything that the table of continual runs prints: rows in the order of the methods, and notes."""

    rows: tuple[ContinualRow, ...]
    notes: tuple[str, ...]


def build_continual_table(groups: Sequence[ContinualGroup]) -> ContinualTable:
    """Summarize groups of runs over their seeds."""
    rows = tuple(_row(group) for group in groups)
    return ContinualTable(rows, tuple(_notes(groups, rows)))


def _notes(groups: Sequence[ContinualGroup], rows: Sequence[ContinualRow]) -> list[str]:
    """How to read the columns that the table has."""

    def has(key: str) -> bool:
        return any(row.values[key] is not None for row in rows)

    notes = [CUT_NOTE] if any(row.cut_after is not None for row in rows) else []
    notes += _unit_notes(groups, rows)
    if has("retention"):
        notes.append("kept: success on the pretraining tasks at the end, of that before learning, in percent")
    notes.append("parameters: trained per task; intervals of 95 %: bootstrap over seeds")
    if has("inference"):
        notes.append("inferred, first step, last step: steps with the right adapter in percent")
    if has("transfer"):
        notes.append("transfer: Continual World's, against the method single, in percent")
    return notes


def _unit_notes(groups: Sequence[ContinualGroup], rows: Sequence[ContinualRow]) -> list[str]:
    """What the averages are averages of; a method's are in percent where all of its tasks report success."""
    scores = [score for group in groups for result in group.results for score in result.evaluations[0].tasks]
    if all(score.success is None for score in scores):
        return ["average, forgetting, learned: of returns, because no task reports success"]
    percent = ["average, forgetting, learned: of success at any step, in percent; at end: at the last step"]
    if all(row.in_percent for row in rows):
        return percent
    mixed = "some tasks report no success: returns stand in for it, and success beside them is a fraction of episodes"
    return [mixed, *(percent if any(row.in_percent for row in rows) else [])]


def print_continual_table(table: ContinualTable, console: Console) -> None:
    """Print as many columns as fit, and the notes."""
    header, cells = continual_cells(table)
    rows = [TextRow(tuple(row)) for row in cells]
    kept = fitting_columns(header, rows, console.width - 2, 1 + _MIN_COLUMNS)
    console.print()
    print_lines(layout_lines(header[:kept], [TextRow(row.cells[:kept]) for row in rows], console.width - 2), console)
    print_notes([*no_room(header[kept:]), *table.notes], console)


def continual_markdown(table: ContinualTable) -> str:
    """One Markdown table, then the notes."""
    columns = _columns(table)
    lines = [
        "| Method | " + " | ".join(title for title, _ in columns) + " |",
        "|---|" + "---:|" * len(columns),
        *("| " + " | ".join([markdown(row.title), *(text(row) for _, text in columns)]) + " |" for row in table.rows),
    ]
    notes = "\n".join(f"- {markdown(note)}" for note in table.notes)
    return "\n".join(lines) + f"\n\n{notes}\n"


def continual_latex(table: ContinualTable) -> str:
    """A table for a document that loads ``booktabs``; its caption is the notes."""
    columns = _columns(table)
    rows = [[row.title, *(text(row).replace(MISSING, "--") for _, text in columns)] for row in table.rows]
    caption = " ".join(f"{note[0].upper()}{note[1:]}." for note in table.notes)
    lines = [
        *(r"\begin{table}[h]", r"\centering", r"\small", rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"),
        " & ".join(["Method", *(latex(title) for title, _ in columns)]) + r" \\",
        r"\midrule",
        *(" & ".join(latex(cell) for cell in row) + r" \\" for row in rows),
        *(r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex(caption)}}}", r"\end{table}"),
    ]
    return "\n".join(lines) + "\n"


def continual_cells(table: ContinualTable) -> tuple[list[str], list[list[str]]]:
    """The titles of the columns, and the texts of the rows."""
    columns = _columns(table)
    rows = [[row.title, *(text(row) for _, text in columns)] for row in table.rows]
    return ["method", *(title for title, _ in columns)], rows


def continual_records(table: ContinualTable) -> list[dict[str, Any]]:
    """One flat object per row; ``low`` and ``high`` are ends of 95 % intervals, and unknown values None."""
    return [_record(row) for row in table.rows]


def continual_csv(table: ContinualTable) -> str:
    """The rows of :func:`continual_records` below a header line; unknown values are empty."""
    return records_csv(continual_records(table))


def _record(row: ContinualRow) -> dict[str, Any]:
    found: dict[str, Any] = {"method": row.method, "cut_after": row.cut_after, "seeds": row.seeds}
    found["percent"] = row.in_percent
    for key, summary in row.values.items():
        low, high = (summary.mean_interval if summary else None) or (None, None)
        found |= {key: summary.mean if summary else None, f"{key}_low": low, f"{key}_high": high}
    return found


def _row(group: ContinualGroup) -> ContinualRow:
    in_percent = all(result.reports_success for result in group.results)
    values = {measure.key: _summary(group, measure, in_percent) for measure in _MEASURES}
    return ContinualRow(group.label, len(group.results), values, in_percent, group.cut_after)


def _summary(group: ContinualGroup, measure: _Measure, in_percent: bool) -> Summary | None:
    known = [value for result in group.results if (value := measure.value(result)) is not None]
    if len(known) < len(group.results):
        return None
    if measure.unit == "fraction" or (measure.unit == "success" and in_percent):
        known = [100.0 * value for value in known]
    seeds = [str(result.record.settings.seed) for result in group.results]
    return summarize(known, seeds, named_generator("continual", group.label, measure.key))


def _columns(table: ContinualTable) -> list[tuple[str, Callable[[ContinualRow], str]]]:
    """Titles and texts of the columns that any row has a value for."""
    columns: list[tuple[str, Callable[[ContinualRow], str]]] = []
    for measure in (measure for measure in _MEASURES if measure.title):
        columns.append((measure.title, lambda row, measure=measure: _mean(row, measure)))  # type: ignore[misc]
        if measure.has_interval:
            columns.append(("95 % interval", lambda row, measure=measure: _interval(row, measure)))  # type: ignore[misc]
    columns.append(("seeds", lambda row: str(row.seeds)))
    return [(title, text) for title, text in columns if any(text(row) != MISSING for row in table.rows)]


def _mean(row: ContinualRow, measure: _Measure) -> str:
    summary = row.values[measure.key]
    if summary is None:
        return MISSING
    text = f"{summary.mean:.0f}" if measure.unit == "count" else _shown(row)(summary.mean)
    before = row.values["retention_before"] if measure.key == "retention" else None
    return text if before is None else f"{text} of {_shown(row)(before.mean)}"


def _interval(row: ContinualRow, measure: _Measure) -> str:
    summary = row.values[measure.key]
    return interval_text(summary.mean_interval if summary else None, _shown(row))


def _shown(row: ContinualRow) -> Callable[[float], str]:
    return fixed if row.in_percent else measured

"""The table as Markdown, as CSV, and as rows for JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seqrl_cli.console import amount, counted, with_error
from seqrl_cli.reports.statistics import Summary
from seqrl_cli.reports.table.build import ResultsTable
from seqrl_cli.reports.table.comparison import OTHER_DATA, Cell, Column, Comparison
from seqrl_cli.reports.table.deltas import DeltaRow
from seqrl_cli.reports.table.escape import markdown
from seqrl_cli.reports.table.output import records_csv
from seqrl_cli.reports.table.rows import ReferenceRow, ResultRow, count_text, remarks

MISSING = "–"
_FIELDS = (
    *("kind", "dataset", "method", "episodes"),
    *("mean_score", "score_standard_error", "score_low", "score_high", "score_iqm", "score_iqm_low", "score_iqm_high"),
    *("mean_return", "return_standard_error", "return_low", "return_high"),
    *("return_iqm", "return_iqm_low", "return_iqm_high", "steps", "terminated", "seconds_per_step"),
    *("runs", "iterations", "online_steps", "cut_episodes", "differing_settings"),
)


def to_rows(table: ResultsTable) -> list[dict[str, Any]]:
    """One flat object per row: our results, what fine-tuning changed, references, then published figures.

    ``low`` and ``high`` are ends of 95 % intervals; a score of 100 is the reference policy; unknown values are None.
    """
    rows = [_own_record(row) for row in table.rows]
    rows += [_delta_record(row) for row in table.deltas]
    rows += [_reference_record(row) for row in table.references]
    for column in table.comparison.columns:
        if not column.own:
            rows += [_published_record(column, dataset, cell) for dataset, cell in column.cells.items()]
    return rows


def to_csv(table: ResultsTable) -> str:
    """The rows of :func:`to_rows` below a header line; unknown values are empty."""
    return records_csv(to_rows(table), _FIELDS)


def to_markdown(table: ResultsTable) -> str:
    """Our results with their statistics, then methods side by side if published figures are included, then notes."""
    parts = []
    if table.rows or table.references:
        parts.append(_markdown_results(table))
    if table.published:
        parts.append(_markdown_comparison(table))
    if table.notes:
        parts.append("\n".join(f"- {markdown(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def score_text(summary: Summary | None) -> str:
    """Mean and standard error, ``"52.1 ± 5.5"``; the mean alone for a single value."""
    return cell_text(Cell(summary.mean, summary.standard_error) if summary else None)


def fixed(value: float, digits: int = 1) -> str:
    """A number with ``digits`` decimals, without negative zeros."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def return_text(row: ResultRow, digits: int = 0) -> str:
    """The mean return; with its standard error where there is no score that has one."""
    error = row.return_.standard_error if row.score is None else None
    if error is None:
        return measured(row.return_.mean, digits)
    return with_error(row.return_.mean, error).replace(",", "")


def return_digits(rows: Sequence[ResultRow]) -> int:
    """The most decimals of the mean returns of some rows, for what is printed beside them."""
    means = [return_text(row).partition(" ")[0] for row in rows]
    return max((len(mean.partition(".")[2]) for mean in means if "e" not in mean), default=0)


def measured(value: float, digits: int = 1) -> str:
    """A return, which may be far smaller than one, without separators between thousands."""
    return amount(value, digits).replace(",", "")


def cell_text(cell: Cell | None) -> str:
    """A cell as text; a dash without a figure."""
    if cell is None:
        return MISSING
    if cell.is_return:
        return "return " + with_error(cell.mean, cell.error).replace(",", "")
    return fixed(cell.mean) + (f" ± {cell.error:.1f}" if cell.error is not None else "")


def iqm_text(row: ResultRow) -> str:
    """The interquartile mean of the score, or of the return without one."""
    return measured(row.return_.iqm) if row.score is None else fixed(row.score.iqm)


def mean_interval_text(row: ResultRow) -> str:
    """The interval of the mean score, or of the mean return without one."""
    if row.score is not None:
        return interval_text(row.score.mean_interval)
    return interval_text(row.return_.mean_interval, measured)


def delta_text(difference: float | None, digits: int = 1) -> str:
    """A difference with its sign, ``"+12.3"``; a dash if unknown."""
    if difference is None:
        return MISSING
    text = fixed(difference, digits)
    return f"+{text}" if float(text) > 0 else text


def interval_text(interval: tuple[float, float] | None, shown: Callable[[float], str] = fixed) -> str:
    """An interval as ``"[38.2, 61.0]"``; a dash if unknown."""
    return f"[{shown(interval[0])}, {shown(interval[1])}]" if interval else MISSING


def delta_interval_text(row: DeltaRow) -> str:
    """The interval of a difference of scores, or of returns without scores."""
    return interval_text(row.return_interval, measured) if row.score is None else interval_text(row.score_interval)


def _record(kind: str, dataset: str, method: str, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(_FIELDS), "kind": kind, "dataset": dataset, "method": method, **values}


def _own_record(row: ResultRow) -> dict[str, Any]:
    return_ = row.return_
    return_low, return_high = return_.mean_interval or (None, None)
    return_iqm_low, return_iqm_high = return_.iqm_interval or (None, None)
    return _record(
        "result",
        row.dataset,
        row.method,
        episodes=return_.count,
        **_score_fields(row.score),
        mean_return=return_.mean,
        return_standard_error=return_.standard_error,
        return_low=return_low,
        return_high=return_high,
        return_iqm=return_.iqm,
        return_iqm_low=return_iqm_low,
        return_iqm_high=return_iqm_high,
        steps=row.steps,
        terminated=row.terminated,
        seconds_per_step=row.seconds_per_step,
        runs=row.runs,
        iterations=row.iterations,
        online_steps=row.online_steps,
        cut_episodes=row.cut,
        differing_settings=row.differs or None,
    )


def _score_fields(score: Summary | None) -> dict[str, Any]:
    if score is None:
        return {}
    low, high = score.mean_interval or (None, None)
    iqm_low, iqm_high = score.iqm_interval or (None, None)
    return {
        "mean_score": score.mean,
        "score_standard_error": score.standard_error,
        "score_low": low,
        "score_high": high,
        "score_iqm": score.iqm,
        "score_iqm_low": iqm_low,
        "score_iqm_high": iqm_high,
    }


def _delta_record(row: DeltaRow) -> dict[str, Any]:
    score_low, score_high = row.score_interval or (None, None)
    return_low, return_high = row.return_interval or (None, None)
    return _record(
        "delta",
        row.dataset,
        row.label,
        runs=row.pairs,
        mean_score=row.score,
        score_low=score_low,
        score_high=score_high,
        mean_return=row.return_,
        return_low=return_low,
        return_high=return_high,
    )


def _reference_record(row: ReferenceRow) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return _record(
        "reference",
        row.dataset,
        row.name,
        episodes=row.episodes,
        mean_score=None if row.score is None else 100.0 * row.score,
        score_low=low,
        score_high=high,
        mean_return=row.mean_return,
    )


def _published_record(column: Column, dataset: str, cell: Cell) -> dict[str, Any]:
    return _record("published", dataset, column.title, mean_score=cell.mean, score_standard_error=cell.error)


def _markdown_results(table: ResultsTable) -> str:
    lines = [
        "| Dataset | Method | Seeds × episodes | Score | 95 % interval | IQM | Return | Steps |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {markdown(row.dataset)} | {_method(row)} | {count_text(row)} | {score_text(row.score)} "
        f"| {mean_interval_text(row)} | {iqm_text(row)} | {return_text(row, 1)} | {row.steps:.0f} |"
        for row in table.rows
    ]
    lines += [
        f"| {markdown(row.dataset)} | **{markdown(row.label)}** | {counted(row.pairs, 'seed')} "
        f"| {delta_text(row.score)} | {delta_interval_text(row)} | {MISSING} | {delta_text(row.return_)} | {MISSING} |"
        for row in table.deltas
    ]
    for reference in table.references:
        score = MISSING if reference.score is None else f"{100 * reference.score:.1f}"
        count = MISSING if reference.episodes is None else str(reference.episodes)
        lines.append(
            f"| {markdown(reference.dataset)} | *{markdown(reference.name)}* | {count} | {score} "
            f"| {interval_text(reference.interval)} | {MISSING} "
            f"| {measured(reference.mean_return)} | {MISSING} |"
        )
    return "\n".join(lines)


def _method(row: ResultRow) -> str:
    """The method with the settings that set it apart, and its remarks."""
    return markdown(", ".join([row.method, *([row.differs] if row.differs else []), *remarks([row])]))


def _titles(comparison: Comparison, dataset: str) -> list[str]:
    return [markdown(title) or MISSING for title in comparison.titles(dataset)]


def _markdown_comparison(table: ResultsTable) -> str:
    columns = table.comparison.columns
    lines = ["| Dataset | Environment | " + " | ".join(markdown(column.full_title) for column in columns) + " |"]
    lines.append("|---|---|" + "---:|" * len(columns))
    for group in table.comparison.groups:
        if table.comparison.is_unpublished(group):
            lines.append(f"| **{OTHER_DATA}** | | " + " | ".join("" for _ in columns) + " |")
        for dataset in group:
            cells = [cell_text(column.cells.get(dataset)) for column in columns]
            lines.append("| " + " | ".join([*_titles(table.comparison, dataset), *cells]) + " |")
    for title, values in table.comparison.averages():
        cells = [MISSING if value is None else f"{value:.1f}" for value in values]
        lines.append(f"| **{title}** | | " + " | ".join(cells) + " |")
    return "\n".join(lines)

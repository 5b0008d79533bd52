"""The table of methods over several datasets: on the terminal, and as Markdown, CSV, LaTeX or rows for JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from seqrl_cli.console import counted, printable
from seqrl_cli.reports.across_datasets import STATISTICS, Estimate
from seqrl_cli.reports.table.aggregate import IMPROVEMENT_NOTE, AggregateRow, AggregateTable
from seqrl_cli.reports.table.escape import latex, markdown
from seqrl_cli.reports.table.layout import TextRow, fitting_name_width, layout_lines
from seqrl_cli.reports.table.output import print_lines, print_notes, records_csv
from seqrl_cli.reports.table.text import fixed, interval_text

_LABEL = "table:aggregate"


def print_aggregate_table(table: AggregateTable, console: Console) -> None:
    """Print aggregates, then probabilities of improvement, then notes."""
    width = console.width - 2
    console.print()
    console.print(Text(printable(f" {_over(table)}"), "bold"), soft_wrap=True)
    narrow = width < 100
    header = ["method", "runs", *STATISTICS]
    rows = [TextRow((row.method, _runs(row), *_estimates(row, narrow))) for row in table.rows]
    rows = [each for row, text in zip(table.rows, rows, strict=True) for each in _with_intervals(row, text, narrow)]
    print_lines(layout_lines(header, rows, width, fitting_name_width(header, rows, width)), console)
    if table.improvements:
        rows = [
            TextRow((f"{row.better} > {row.worse}", fixed(row.probability.value, 2), _probable(row.probability)))
            for row in table.improvements
        ]
        header = ["improvement", "P(A > B)", "95 % interval"]
        print_lines(layout_lines(header, rows, width, fitting_name_width(header, rows, width)), console)
    print_notes(table.notes, console)


def _with_intervals(row: AggregateRow, text: TextRow, narrow: bool) -> list[TextRow]:
    """On a narrow terminal, intervals have a line of their own below the numbers."""
    if not narrow:
        return [text]
    return [text, TextRow(("", "", *(interval_text(row.statistics[name].interval) for name in STATISTICS)), "dim")]


def _estimates(row: AggregateRow, narrow: bool) -> list[str]:
    return [_estimate(row.statistics[name], narrow) for name in STATISTICS]


def _estimate(found: Estimate, narrow: bool = False) -> str:
    value = fixed(found.value)
    return value if narrow or found.interval is None else f"{value} {interval_text(found.interval)}"


def _probable(found: Estimate) -> str:
    return interval_text(found.interval, lambda value: fixed(value, 2))


def _runs(row: AggregateRow) -> str:
    return "–".join(dict.fromkeys(map(str, row.runs)))


def _over(table: AggregateTable) -> str:
    return f"{counted(len(table.datasets), 'dataset')}: {', '.join(table.datasets)}"


def aggregate_markdown(table: AggregateTable) -> str:
    """Aggregates and probabilities as two tables, then notes."""
    lines = [f"{markdown(_over(table))}", "", "| Method | Runs | " + " | ".join(STATISTICS) + " |"]
    lines.append("|---|---:|" + "---:|" * len(STATISTICS))
    lines += [
        f"| {markdown(row.method)} | {_runs(row)} | " + " | ".join(_estimates(row, False)) + " |" for row in table.rows
    ]
    if table.improvements:
        lines += ["", "| A | B | P(A > B) | 95 % interval |", "|---|---|---:|---:|"]
        lines += [
            f"| {markdown(row.better)} | {markdown(row.worse)} | {fixed(row.probability.value, 2)} "
            f"| {_probable(row.probability)} |"
            for row in table.improvements
        ]
    return "\n".join([*lines, "", *(f"- {markdown(note)}" for note in table.notes)]) + "\n"


def aggregate_records(table: AggregateTable) -> list[dict[str, Any]]:
    """One flat object per method and statistic, and per pair of methods."""
    records = [
        {
            "kind": "aggregate",
            "method": row.method,
            "statistic": name.replace(" ", "_"),
            **_fields(row.statistics[name]),
        }
        | {"datasets": len(table.datasets), "runs_min": row.runs[0], "runs_max": row.runs[1]}
        | {"episodes": row.episodes, "over": None}
        for row in table.rows
        for name in STATISTICS
    ]
    return records + [
        {"kind": "improvement", "method": row.better, "statistic": "probability", **_fields(row.probability)}
        | {"datasets": len(table.datasets), "runs_min": None, "runs_max": None}
        | {"episodes": None, "over": row.worse}
        for row in table.improvements
    ]


def _fields(found: Estimate) -> dict[str, float | None]:
    low, high = found.interval or (None, None)
    return {"value": found.value, "low": low, "high": high}


def aggregate_csv(table: AggregateTable) -> str:
    """The records below a header line."""
    return records_csv(aggregate_records(table))


def aggregate_latex(table: AggregateTable, label: str | None = None, caption: str | None = None) -> str:
    """The aggregates, with the interval of each; ``label`` and ``caption`` replace the usual ones."""
    if caption is None:
        notes = [note for note in table.notes if note != IMPROVEMENT_NOTE]  # of a table that is not here
        caption = f"Aggregates over {latex(_over(table))}. "
        caption += " ".join(f"{latex(note[0].upper() + note[1:])}." for note in notes)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        r"\small",
        rf"\caption{{{caption}}}",
        rf"\label{{{label or _LABEL}}}",
        rf"\begin{{tabular}}{{lr{'r' * len(STATISTICS)}}}",
        r"\toprule",
        " & ".join([r"\textbf{Method}", r"\textbf{Runs}", *(rf"\textbf{{{name}}}" for name in STATISTICS)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [_latex_estimate(row.statistics[name]) for name in STATISTICS]
        lines.append(" & ".join([latex(row.method), _runs(row).replace("–", "--"), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_estimate(found: Estimate) -> str:
    spread = rf" \scriptsize{{${interval_text(found.interval)}$}}" if found.interval else ""
    return f"${fixed(found.value)}$" + spread

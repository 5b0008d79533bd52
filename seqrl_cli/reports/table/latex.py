"""A comparison as a LaTeX table, in the layout of the Trajectory Transformer's repository."""

from __future__ import annotations

from seqrl_cli.reports.table.comparison import OTHER_DATA, Cell, Column, Comparison, dataset_titles
from seqrl_cli.reports.table.escape import latex
from seqrl_cli.reports.table.text import fixed, measured

CAPTION = "Normalised scores, mean and standard error over episodes: 0 is a random policy, 100 the reference policy."
RETURN_CAPTION = r" $\dagger$: returns, of data without reference scores."
_MISSING = "$-$"


def to_latex(comparison: Comparison) -> str:
    """Write the table, for a document that loads ``booktabs`` and ``graphicx``."""
    lines = [
        r"\begin{table*}[h]",
        r"\centering",
        r"\small",
        rf"\begin{{tabular}}{{ll{'r' * len(comparison.columns)}}}",
        r"\toprule",
        _row([_header(title) for title in ("Dataset", "Environment", *_titles(comparison))]),
    ]
    for group in comparison.groups:
        lines.append(r"\midrule")
        if comparison.is_unpublished(group):
            lines.append(rf"\multicolumn{{{2 + len(comparison.columns)}}}{{l}}{{\it {OTHER_DATA}}} \\")
        lines += [_dataset_row(dataset, comparison.columns) for dataset in group]
    averages = comparison.averages()
    if averages:
        lines.append(r"\midrule")
    for title, values in averages:
        cells = [_average(value, column) for value, column in zip(values, comparison.columns, strict=True)]
        lines.append(_row([rf"\multicolumn{{2}}{{c}}{{\bf {title}}}", *cells]))
    # the published table has no caption; with our results a caption explains the scores
    text = CAPTION + (RETURN_CAPTION if any(column.has_returns for column in comparison.columns) else "")
    caption = [rf"\caption{{{text}}}"] if any(column.own for column in comparison.columns) else []
    lines += [r"\bottomrule", r"\end{tabular}", *caption, r"\label{table:d4rl}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _titles(comparison: Comparison) -> list[str]:
    return [latex(column.latex_title) for column in comparison.columns]


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _header(title: str) -> str:
    return rf"\multicolumn{{1}}{{c}}{{\bf {title}}}"


def _dataset_row(dataset: str, columns: tuple[Column, ...]) -> str:
    titles = [latex(title) or "--" for title in dataset_titles(dataset)]
    return _row([*titles, *(_cell(column.cells.get(dataset)) for column in columns)])


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return _MISSING
    mean, spread = cell.mean, cell.error
    shown = measured if cell.is_return else fixed
    mark = r"^\dagger" if cell.is_return else ""
    error = rf" \scriptsize{{\raisebox{{1pt}}{{$\pm {shown(spread)}$}}}}" if spread is not None else ""
    return f"${shown(mean)}{mark}$" + error


def _average(value: float | None, column: Column) -> str:
    """An average; in columns with errors, a space aligns it with the means."""
    if value is None:
        return _MISSING
    return f"{value:.1f}" + (r" \hspace{.6cm}" if column.has_errors else "")

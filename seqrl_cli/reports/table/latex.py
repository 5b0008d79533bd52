"""A comparison as a LaTeX table with booktabs' rules.

Published figures alone have the layout of the Trajectory Transformer's repository, to the letter. With our results, a
caption says what the numbers are, and the best of each row is bold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqrl_cli.reports.table.comparison import OTHER_DATA, Cell, Column, Comparison
from seqrl_cli.reports.table.escape import latex
from seqrl_cli.reports.table.text import fixed, measured

PUBLISHED_LABEL = "table:d4rl"
OWN_LABEL = "table:results"
_MISSING = "$-$"
_NORMAL_QUANTILE = 1.96  # of a 95 % interval, for published figures, which have standard errors

_CENTERS = {
    "error": r"mean $\pm$ standard error",
    "interval": "mean and 95\\,\\% bootstrap interval over seeds and their episodes",
    "iqm": "interquartile mean and its 95\\,\\% bootstrap interval over seeds and their episodes",
}
CELLS = tuple(_CENTERS)


@dataclass(frozen=True)
class LatexOptions:
    """How a table of ours is written.

    Attributes:
        cells: one of ``CELLS``: mean ± standard error, mean and interval, or interquartile mean and interval.
        label: label of the table; None = ``PUBLISHED_LABEL`` or ``OWN_LABEL``.
        caption: caption of the table, in LaTeX; None = what the numbers are.
    """

    cells: str = "error"
    label: str | None = None
    caption: str | None = None


def to_latex(comparison: Comparison, options: LatexOptions | None = None) -> str:
    """Write the table, for a document that loads ``booktabs`` and ``graphicx``."""
    options = options or LatexOptions()
    own = any(column.own for column in comparison.columns)
    lines = _own_table(comparison, options) if own else _published_table(comparison, options)
    return "\n".join(lines) + "\n"


def _published_table(comparison: Comparison, options: LatexOptions) -> list[str]:
    titles = [latex(column.latex_title) for column in comparison.columns]
    caption = [rf"\caption{{{options.caption}}}"] if options.caption is not None else []
    return [
        r"\begin{table*}[h]",
        r"\centering",
        r"\small",
        rf"\begin{{tabular}}{{ll{'r' * len(comparison.columns)}}}",
        r"\toprule",
        _row([rf"\multicolumn{{1}}{{c}}{{\bf {title}}}" for title in ("Dataset", "Environment", *titles)]),
        *_body(comparison, lambda cells: [_published_cell(cell) for cell in cells], r"\bf"),
        r"\bottomrule",
        r"\end{tabular}",
        *caption,
        rf"\label{{{options.label or PUBLISHED_LABEL}}}",
        r"\end{table*}",
    ]


def _own_table(comparison: Comparison, options: LatexOptions) -> list[str]:
    titles = [latex(column.latex_title) for column in comparison.columns]
    heads = [rf"\multicolumn{{1}}{{c}}{{\textbf{{{title}}}}}" for title in titles]
    return [
        r"\begin{table*}[t]",
        r"\centering",
        r"\small",
        rf"\caption{{{_caption(comparison, options.cells) if options.caption is None else options.caption}}}",
        rf"\label{{{options.label or OWN_LABEL}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(comparison.columns)}}}",
        r"\toprule",
        _row([r"\textbf{Dataset}", r"\textbf{Environment}", *heads]),
        *_body(comparison, lambda cells: _own_cells(cells, options.cells), r"\bfseries"),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]


def _body(comparison: Comparison, write: Callable[[Sequence[Cell | None]], list[str]], bold: str) -> list[str]:
    """The rows between the header and the bottom rule: groups of datasets, then averages."""
    lines = []
    for group in comparison.groups:
        lines.append(r"\midrule")
        if comparison.is_unpublished(group):
            lines.append(rf"\multicolumn{{{2 + len(comparison.columns)}}}{{l}}{{\it {OTHER_DATA}}} \\")
        for dataset in group:
            titles = [latex(title) or "--" for title in comparison.titles(dataset)]
            lines.append(_row([*titles, *write([column.cells.get(dataset) for column in comparison.columns])]))
    averages = comparison.averages()
    lines += [r"\midrule"] if averages else []
    for title, values in averages:
        cells = [_average(value, column) for value, column in zip(values, comparison.columns, strict=True)]
        lines.append(_row([rf"\multicolumn{{2}}{{c}}{{{bold} {title}}}", *cells]))
    return lines


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _published_cell(cell: Cell | None) -> str:
    if cell is None:
        return _MISSING
    error = rf" \scriptsize{{\raisebox{{1pt}}{{$\pm {fixed(cell.error)}$}}}}" if cell.error is not None else ""
    return f"${fixed(cell.mean)}$" + error


def _own_cells(cells: Sequence[Cell | None], kind: str) -> list[str]:
    best = best_of(cells, kind)
    return [_own_cell(cell, kind, bold=index in best) for index, cell in enumerate(cells)]


def _own_cell(cell: Cell | None, kind: str, *, bold: bool) -> str:
    if cell is None:
        return _MISSING
    shown = measured if cell.is_return else fixed
    center, interval = _center(cell, kind)
    number = rf"\mathbf{{{shown(center)}}}" if bold else shown(center)
    mark = r"^\dagger" if cell.is_return else ""
    if kind != "error" and interval is not None:
        spread = rf" \scriptsize{{$[{shown(interval[0])}, {shown(interval[1])}]$}}"
    else:
        spread = rf" \scriptsize{{$\pm {shown(cell.error)}$}}" if cell.error is not None else ""
    return f"${number}{mark}$" + spread


def _center(cell: Cell, kind: str) -> tuple[float, tuple[float, float] | None]:
    """The number that a cell shows, and its interval: published figures have no interquartile mean."""
    if kind == "iqm" and cell.iqm is not None:
        return cell.iqm, cell.iqm_interval
    return cell.mean, cell.interval


def best_of(cells: Sequence[Cell | None], kind: str = "error") -> set[int]:
    """The places of the best cell of a row and of all whose 95 % interval overlaps the best one's.

    Published figures have 1.96 standard errors for an interval, or none. None is the best of a single cell, or of
    scores beside returns.
    """
    found = {index: cell for index, cell in enumerate(cells) if cell is not None}
    if len(found) < 2 or len({cell.is_return for cell in found.values()}) > 1:
        return set()
    ranges = {index: _range(cell, kind) for index, cell in found.items()}
    best = max(found, key=lambda index: _center(found[index], kind)[0])
    low, high = ranges[best]
    return {index for index, (start, end) in ranges.items() if end >= low and start <= high}


def _range(cell: Cell, kind: str) -> tuple[float, float]:
    center, interval = _center(cell, kind)
    if interval is not None:
        return interval
    half = _NORMAL_QUANTILE * (cell.error or 0.0)
    return center - half, center + half


def _average(value: float | None, column: Column) -> str:
    """An average; in columns with errors, a space aligns it with the means."""
    if value is None:
        return _MISSING
    return f"{value:.1f}" + (r" \hspace{.6cm}" if column.has_errors else "")


def _caption(comparison: Comparison, kind: str) -> str:
    """What the numbers are: their unit, scale, spread and count, and the settings that the titles leave out."""
    own = [column for column in comparison.columns if column.own]
    cells = [cell for column in own for cell in column.cells.values()]
    returns = any(cell.is_return for cell in cells)
    scored = any(not cell.is_return for cell in cells)
    what = "Normalised scores" if scored else "Returns of episodes, of data without reference scores"
    over = _over(cells) if kind == "error" else ""
    sentences = [f"{what}, {_CENTERS[kind]}{over}{_counts(own)}.", *_scales(comparison)]
    if scored and returns:
        sentences.append(r"$\dagger$: returns, of data without reference scores.")
    if len(comparison.columns) > 1:
        sentences.append(r"Bold: the best of each row, and all whose 95\,\% interval overlaps the best one's.")
    if kind == "iqm" and len(own) < len(comparison.columns):
        sentences.append("Published figures are means.")
    return " ".join([*sentences, *_settings(own)])


def _over(cells: Sequence[Cell]) -> str:
    """What standard errors are over."""
    kinds = {cell.seeds > 1 for cell in cells}
    if kinds == {True}:
        return " over seeds"
    return " over episodes of one seed" if kinds == {False} else " over seeds, or over episodes where there is one seed"


def _counts(columns: Sequence[Column]) -> str:
    """Seeds × episodes: the most frequent count, then where there are others."""
    counts = Counter(cell.count for column in columns for cell in column.cells.values())
    usual = counts.most_common(1)[0][0]
    others = [
        f"{latex(column.title)} on {latex(dataset)}: {_times(cell.count)}"
        for column in columns
        for dataset, cell in column.cells.items()
        if cell.count != usual
    ]
    return f" ({_times(usual)} seeds $\\times$ episodes{'; ' if others else ''}{', '.join(others)})"


def _times(count: str) -> str:
    return count.replace("×", r"$\times$").replace("–", "--")


def _scales(comparison: Comparison) -> list[str]:
    """What scores of 0 and 100 are."""
    own = comparison.own_scales
    scored = {dataset for column in comparison.columns for dataset, cell in column.cells.items() if not cell.is_return}
    sentences = [f"On {latex(dataset)}, {latex(own[dataset])}." for dataset in sorted(scored & set(own))]
    if scored - set(own):
        scale = "0 is a random policy, 100 D4RL's reference policy."
        sentences.append(f"Elsewhere, {scale}" if sentences else scale)
    return sentences


def _settings(columns: Sequence[Column]) -> list[str]:
    """Plan settings and remarks that are not above the columns."""
    parts = []
    for column in columns:
        different = dict.fromkeys(column.settings.values())
        if len(different) > 1:
            settings = [f"{latex(setting)} on {latex(dataset)}" for dataset, setting in column.settings.items()]
        else:
            settings = list(map(latex, different))
        if details := [*settings, *map(latex, filter(None, (column.differs, *column.remarks)))]:
            parts.append(f"{latex(column.title)}: {', '.join(details)}")
    return [f"Settings: {'; '.join(parts)}."] if parts else []

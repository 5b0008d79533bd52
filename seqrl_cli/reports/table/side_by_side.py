"""Methods side by side: our rows as columns, beside published figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.table.comparison import D4RL_DATASETS, Cell, Column, Comparison, grouped
from seqrl_cli.reports.table.published import PublishedMethod
from seqrl_cli.reports.table.rows import ResultRow, count_text, remarks


def compare(
    rows: Sequence[ResultRow], published: Sequence[PublishedMethod], own_scales: Mapping[str, str] | None = None
) -> Comparison:
    """Set methods side by side: with published methods over all twelve settings, else over those that have a row."""
    columns = [_published_column(method, alone=not rows) for method in published]
    by_name: dict[str, list[ResultRow]] = defaultdict(list)
    for row, name in zip(rows, names_across_datasets(rows), strict=True):
        by_name[name].append(row)
    columns += [_own_column(name, by_name[name]) for name in sorted(by_name, key=natural_order)]
    datasets = {row.dataset for row in rows} | (set(D4RL_DATASETS) if published else set())
    environments = {row.dataset: row.env_id for row in rows if row.env_id}
    return Comparison(tuple(columns), grouped(datasets), environments, own_scales or {})


def names_across_datasets(rows: Sequence[ResultRow]) -> list[str]:
    """The name of each row's method in all datasets: without plan settings, unless one dataset has several of it.

    Settings may differ from dataset to dataset, as target returns do.
    """
    found = Counter((row.dataset, row.short_method) for row in rows)
    several = {name for (_, name), count in found.items() if count > 1}
    return [row.method if row.short_method in several else row.short_method for row in rows]


def _own_column(name: str, rows: Sequence[ResultRow]) -> Column:
    cells = {row.dataset: own_cell(row) for row in rows}
    settings = {row.dataset: row.settings for row in rows if row.settings and name != row.method}
    differs = {row.differs for row in rows}
    common = differs.pop() if len(differs) == 1 else ""
    return Column(name, name, cells, own=True, remarks=tuple(remarks(rows)), settings=settings, differs=common)


def own_cell(row: ResultRow) -> Cell:
    """One result as a cell of the comparison."""
    measure = row.measure
    return Cell(
        measure.mean,
        measure.standard_error,
        is_return=row.score is None,
        interval=measure.mean_interval,
        iqm=measure.iqm,
        iqm_interval=measure.iqm_interval,
        seeds=row.runs,
        count=count_text(row),
    )


def _published_column(method: PublishedMethod, *, alone: bool) -> Column:
    """A published column; the paper's title with its "(Ours)" is kept only if no results of ours are beside it."""
    cells = {dataset: Cell(mean, method.errors.get(dataset)) for dataset, mean in method.scores.items()}
    return Column(method.name, method.latex_name if alone else method.name, cells, own=False)

"""The table as plain data: rows of statistics, and the comparison of methods by dataset.

All numbers are computed here; the formats (terminal, Markdown, CSV, LaTeX, JSON) only print them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seqrl_cli.reports.groups import drop_repeats, group_episodes, natural_order, summarize_episodes
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import Summary
from seqrl_cli.reports.table.comparison import D4RL_DATASETS, Cell, Column, Comparison, dataset_order, grouped
from seqrl_cli.reports.table.deltas import DELTA_NOTE, DeltaRow, delta_rows
from seqrl_cli.reports.table.published import PublishedMethod, published_notes

SCORE_NOTE = (
    "score: 0 is a random policy, 100 the reference policy; "
    "95 % interval: bootstrap of the mean, over seeds and their episodes"
)
RETURN_NOTE = (
    "without reference scores, ±, the 95 % interval and IQM are those of the return; data.reference_min and "
    "data.reference_max give a data file scores"
)
CUT_NOTE = (
    "cut after N steps: plan.max_steps ended these episodes, so their returns and scores do not compare with those of "
    "complete episodes"
)


@dataclass(frozen=True)
class ResultRow:
    """One method on one dataset.

    Attributes:
        dataset: dataset id.
        method: architecture and plan settings, or run and plan settings.
        score: statistics of the normalized score, where 100 is the reference policy; None without reference scores.
        return_: statistics of the return.
        steps: mean episode length.
        terminated: fraction of episodes that the environment ended.
        seconds_per_step: mean wall time per step; None if no file contains it.
        runs: models behind the row; models of one seed count once.
        iterations: of online fine-tuning, mean over runs; None without fine-tuning.
        online_steps: environment steps explored in these iterations, mean over runs.
        cut: how many episodes ``plan.max_steps`` ended before the environment's own limit.
        cut_at: that number of steps; None if no episode was cut.
    """

    dataset: str
    method: str
    score: Summary | None
    return_: Summary
    steps: float
    terminated: float
    seconds_per_step: float | None
    runs: int
    iterations: float | None = None
    online_steps: float | None = None
    cut: int = 0
    cut_at: int | None = None

    @property
    def measure(self) -> Summary:
        """Statistics of the score, or of the return where there is none."""
        return self.score or self.return_


@dataclass(frozen=True)
class ReferenceRow:
    """A reference for the results: the dataset's own behaviour, or a random policy.

    Attributes:
        dataset: dataset id.
        name: for example ``"behaviour (dataset)"`` or ``"random policy"``.
        mean_return: mean return of its episodes.
        score: normalized score as a fraction; None if the dataset has no reference scores.
        episodes: how many episodes the mean is over; None when unknown.
        interval: 95 % interval of the score, where 100 is the reference policy; None when unknown.
    """

    dataset: str
    name: str
    mean_return: float
    score: float | None
    episodes: int | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ResultsTable:
    """Everything that ``seqrl table`` prints.

    Attributes:
        rows: our results in the order of the table.
        references: what they are compared with.
        comparison: methods by dataset.
        published: whether published figures are part of the comparison.
        notes: caveats, printed below the table.
        deltas: what fine-tuning changed.
    """

    rows: tuple[ResultRow, ...]
    references: tuple[ReferenceRow, ...]
    comparison: Comparison
    published: bool
    notes: tuple[str, ...]
    deltas: tuple[DeltaRow, ...] = ()


def build_table(
    episodes: Sequence[EpisodeResult],
    *,
    by: str = "method",
    references: Sequence[ReferenceRow] = (),
    published: Sequence[PublishedMethod] = (),
    notes: Sequence[str] = (),
) -> ResultsTable:
    """Summarize episodes and add references and published figures.

    Args:
        episodes: from :func:`seqrl_cli.reports.results.read_results`.
        by: ``"method"`` joins the runs of one architecture and settings; ``"run"`` keeps them apart.
        references: the datasets' own behaviour and random policies.
        published: published figures to show beside ours.
        notes: further notes.
    """
    groups = group_episodes(episodes, by)
    repeats: list[str] = []
    if by == "method":
        for key, group in groups.items():
            groups[key], sentences = drop_repeats(group)
            repeats += sentences
    keys = sorted(groups, key=lambda key: (dataset_order(key[0]), natural_order(key[1])))
    rows = tuple(_result_row(dataset, method, groups[dataset, method]) for dataset, method in keys)
    deltas = tuple(sorted(delta_rows(episodes, by), key=lambda row: dataset_order(row.dataset)))
    return ResultsTable(
        rows,
        references=tuple(sorted(references, key=lambda row: dataset_order(row.dataset))),
        comparison=compare(rows, published),
        published=bool(published),
        notes=(
            *_general_notes(rows, deltas),
            *notes,
            *published_notes(published),
            *sorted(set(repeats)),
            *_version_notes(episodes),
        ),
        deltas=deltas,
    )


def _general_notes(rows: Sequence[ResultRow], deltas: Sequence[DeltaRow]) -> list[str]:
    """How to read the columns that the table has."""
    notes = []
    if any(row.cut for row in rows):
        notes.append(CUT_NOTE)
    if rows:
        notes.append(SCORE_NOTE)
    if any(row.score is None for row in rows):
        notes.append(RETURN_NOTE)
    if deltas:
        notes.append(DELTA_NOTE)
    return notes


def compare(rows: Sequence[ResultRow], published: Sequence[PublishedMethod]) -> Comparison:
    """Set methods side by side: with published methods over all twelve settings, else over those that have a row."""
    columns = [_published_column(method, alone=not rows) for method in published]
    methods = sorted({row.method for row in rows}, key=natural_order)
    for method in methods:
        own = [row for row in rows if row.method == method]
        cells = {
            row.dataset: Cell(row.measure.mean, row.measure.standard_error, is_return=row.score is None) for row in own
        }
        title = " ".join([method, *remarks([row for row in rows if row.method == method])])
        columns.append(Column(title, title, cells, own=True))
    datasets = {row.dataset for row in rows} | (set(D4RL_DATASETS) if published else set())
    return Comparison(tuple(columns), grouped(datasets))


def remarks(rows: Sequence[ResultRow]) -> list[str]:
    """Remarks on a method beside its name: how far it has explored, and whether its episodes were cut."""
    explored = _explored_text(rows)
    cut = [row for row in rows if row.cut]
    remarks = [explored] if explored else []
    if cut:
        whole = all(row.cut == row.return_.count for row in rows)
        count = "" if whole else f"{sum(row.cut for row in cut)} of {sum(row.return_.count for row in rows)} "
        ends = dict.fromkeys(f"{row.cut_at:,}" for row in cut)
        remarks.append(f"{count}cut after {'–'.join(ends)} steps")
    return remarks


def _explored_text(rows: Sequence[ResultRow]) -> str:
    """``after 47,712 steps``: how far fine-tuned runs have explored their environments; empty for others."""
    steps = sorted(row.online_steps for row in rows if row.online_steps is not None)
    if not steps:
        return ""
    ends = dict.fromkeys((f"{steps[0]:,.0f}", f"{steps[-1]:,.0f}"))
    return f"after {'–'.join(ends)} steps"


def _published_column(method: PublishedMethod, *, alone: bool) -> Column:
    """A published column; the paper's title with its "(Ours)" is kept only if no results of ours are beside it."""
    cells = {dataset: Cell(mean, method.errors.get(dataset)) for dataset, mean in method.scores.items()}
    return Column(method.name, method.latex_name if alone else method.name, cells, own=False)


def _result_row(dataset: str, method: str, episodes: list[EpisodeResult]) -> ResultRow:
    seconds = [episode.seconds_per_step for episode in episodes if episode.seconds_per_step is not None]
    return ResultRow(
        dataset=dataset,
        method=method,
        score=_summarize_scores(episodes),
        return_=summarize_episodes([episode.return_ for episode in episodes], episodes),
        steps=float(np.mean([episode.steps for episode in episodes])),
        terminated=float(np.mean([episode.terminated for episode in episodes])),
        seconds_per_step=float(np.mean(seconds)) if seconds else None,
        runs=len({episode.replicate for episode in episodes}),
        iterations=_mean_over_runs({episode.run: episode.iterations for episode in episodes}),
        online_steps=_mean_over_runs({episode.run: episode.online_steps for episode in episodes}),
        cut=sum(episode.cut_at is not None for episode in episodes),
        cut_at=max((episode.cut_at for episode in episodes if episode.cut_at is not None), default=None),
    )


def _mean_over_runs(values: Mapping[str, int | None]) -> float | None:
    known = [value for value in values.values() if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _summarize_scores(episodes: list[EpisodeResult]) -> Summary | None:
    scores = [episode.score for episode in episodes if episode.score is not None]
    return summarize_episodes([100.0 * score for score in scores], episodes) if len(scores) == len(episodes) else None


def _version_notes(episodes: Sequence[EpisodeResult]) -> list[str]:
    """Notes on the environment behind each D4RL result: current simulators replace those of D4RL's v2 data."""
    played = {(e.dataset, e.env_id) for e in episodes if e.dataset in D4RL_DATASETS and e.env_id}
    return [f"{dataset}: our results are played in {env_id}" for dataset, env_id in sorted(played)]

"""Methods over several datasets, as plain data: aggregate scores, and how likely one method is to beat another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqrl_cli.behaviour.shipped import common_reference
from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.across_datasets import (
    STATISTICS,
    Across,
    Estimate,
    estimate,
    methods_across,
    ordered_improvements,
)
from seqrl_cli.reports.results import EpisodeResult, cut_notes

AGGREGATE_NOTES = (
    "scores are normalized, in percent; a run's score is the mean of its episodes",
    "IQM: mean of the middle half of all runs on all datasets; mean and median: over the datasets' means; optimality "
    "gap: how far runs fall short of 100, lower is better",
    "95 % intervals: stratified bootstrap over the runs of each dataset (arXiv 2108.13264)",
)
IMPROVEMENT_NOTE = "P(A > B): probability that a run of A scores above a run of B on a dataset drawn at random"


@dataclass(frozen=True)
class AggregateRow:
    """One method over all datasets; ``runs`` is the fewest and the most per dataset."""

    method: str
    runs: tuple[int, int]
    episodes: int
    statistics: dict[str, Estimate]


@dataclass(frozen=True)
class ImprovementRow:
    """How likely a run of one method scores above a run of another."""

    better: str
    worse: str
    probability: Estimate


@dataclass(frozen=True)
class AggregateTable:
    """Everything that ``seqrl table --by aggregate`` prints."""

    datasets: tuple[str, ...]
    rows: tuple[AggregateRow, ...]
    improvements: tuple[ImprovementRow, ...]
    notes: tuple[str, ...]


def require_across(episodes: Sequence[EpisodeResult]) -> Across:
    """The methods that compare across datasets.

    Raises:
        SeqrlError: nothing has a normalized score.
    """
    across = methods_across(episodes)
    if not across.methods:
        unscored = ", ".join(sorted({episode.dataset for episode in episodes}))
        words = common_reference(episode.env_id for episode in episodes)
        hint = f"give the data references: seqrl download DATASET --reference {words}"
        raise SeqrlError(f"no results with normalized scores: {unscored} has no reference scores", hint)
    return across


def build_aggregate_table(episodes: Sequence[EpisodeResult], scales: Sequence[str] = ()) -> AggregateTable:
    """Aggregate the methods over the datasets that they share.

    Args:
        episodes: episodes from :func:`seqrl_cli.reports.results.read_results`.
        scales: notes on what scores stand for.

    Raises:
        SeqrlError: nothing has a normalized score.
    """
    across = require_across(episodes)
    rows = tuple(
        AggregateRow(method.name, method.runs, method.episodes, {name: estimate(method, name) for name in STATISTICS})
        for method in across.methods
    )
    improvements = tuple(
        ImprovementRow(better.name, worse.name, probability)
        for better, worse, probability in ordered_improvements(across)
    )
    notes = (
        *AGGREGATE_NOTES,
        *([IMPROVEMENT_NOTE] if improvements else []),
        *scales,
        *across.notes,
        *cut_notes(episodes),
    )
    return AggregateTable(across.datasets, rows, improvements, notes)

"""The table of planned episodes, with what the datasets in the run directory tell of them."""

from __future__ import annotations

from collections.abc import Sequence

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.reports.references import is_own_scale, reference_notes, reference_rows, scale_of_scores
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.table.build import ResultsTable, build_table
from seqrl_cli.reports.table.published import PublishedMethod
from seqrl_cli.runs.store import RunStore


def stored_datasets(store: RunStore, episodes: Sequence[EpisodeResult]) -> list[DatasetRef]:
    """The datasets of the episodes whose data are in the run directory, by name."""
    names = sorted({episode.dataset for episode in episodes})
    return [dataset for name in names if (dataset := find_stored(store, name))]


def own_scales(datasets: Sequence[DatasetRef]) -> dict[str, str]:
    """What scores of 0 and 100 stand for, by dataset, where scores are not D4RL's."""
    return {dataset.id: scale_of_scores(dataset) for dataset in datasets if is_own_scale(dataset)}


def table_of_stored(
    episodes: Sequence[EpisodeResult],
    datasets: Sequence[DatasetRef],
    *,
    by: str,
    sort: str = "name",
    published: Sequence[PublishedMethod] = (),
) -> ResultsTable:
    """The table of episodes whose scores are current, with the datasets' references, notes and scales.

    Arguments are those of :func:`~seqrl_cli.reports.table.build.build_table`.
    """
    return build_table(
        episodes,
        by=by,
        sort=sort,
        references=[row for dataset in datasets for row in reference_rows(dataset)],
        published=published,
        notes=[note for dataset in datasets for note in reference_notes(dataset)],
        own_scales=own_scales(datasets),
    )

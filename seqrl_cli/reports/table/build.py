"""The table as plain data: rows of statistics, and the comparison of methods by dataset.

All numbers are computed here; the formats (terminal, Markdown, CSV, LaTeX, JSON) only print them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqrl_cli.behaviour.shipped import common_reference
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.differing import differing_settings
from seqrl_cli.reports.groups import drop_repeats, group_episodes, summarize_episodes
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import Summary
from seqrl_cli.reports.table.comparison import D4RL_DATASETS, Comparison, dataset_order
from seqrl_cli.reports.table.deltas import DELTA_NOTE, DeltaRow, delta_rows
from seqrl_cli.reports.table.published import PublishedMethod, published_notes
from seqrl_cli.reports.table.rows import ReferenceRow, ResultRow
from seqrl_cli.reports.table.side_by_side import compare

SCORE_NOTE = "score: 0 is a random policy, 100 D4RL's reference policy"
OWN_SCORE_NOTE = "score: 0 and 100 are two returns of each dataset's own scale"
MIXED_SCORE_NOTE = "score: 0 is a random policy, 100 D4RL's reference policy, where no other scale is stated here"
SPREAD_NOTE = (
    "± is the standard error over seeds, and over episodes where there is one seed; 95 % interval: bootstrap of the "
    "mean, over seeds and their episodes, which is too narrow for two or three seeds"
)
RETURN_NOTE = (
    "without reference scores, ±, the 95 % interval and IQM are those of the return; "
    "seqrl download DATASET --reference {} gives a data file scores"
)
PUBLISHED_NOTE = "published figures are for D4RL's datasets, not for {} of this table: they do not compare"
SORTS = ("name", "score", "iqm", "return", "time")
"""How methods of one dataset are ordered: by name, or the best first."""

CUT_NOTE = (
    "cut after N steps: plan.max_steps ended these episodes, so their returns and scores do not compare with those of "
    "complete episodes"
)


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
    sort: str = "name",
    references: Sequence[ReferenceRow] = (),
    published: Sequence[PublishedMethod] = (),
    notes: Sequence[str] = (),
    own_scales: Mapping[str, str] | None = None,
) -> ResultsTable:
    """Summarize episodes and add references and published figures.

    Args:
        episodes: episodes from :func:`seqrl_cli.reports.results.read_results`.
        by: ``"method"`` joins the runs of one architecture and settings; ``"run"`` keeps them apart.
        sort: one of ``SORTS``.
        references: the datasets' own behaviour and random policies.
        published: published figures to show beside ours.
        notes: further notes.
        own_scales: what scores of 0 and 100 stand for, in datasets whose scores are not D4RL's.
    """
    groups = group_episodes(episodes, by)
    repeats: list[str] = []
    if by == "method":
        for key, group in groups.items():
            groups[key], sentences = drop_repeats(group)
            repeats += sentences
    keys = sorted(groups, key=lambda key: (dataset_order(key[0]), natural_order(key[1])))
    differing = differing_settings([groups[key] for key in keys])
    own = [replace(_result_row(*key, groups[key]), differs=text) for key, text in zip(keys, differing, strict=True)]
    rows = _sorted(own, sort)
    deltas = tuple(sorted(delta_rows(episodes, by), key=lambda row: dataset_order(row.dataset)))
    return ResultsTable(
        rows,
        references=tuple(sorted(references, key=lambda row: dataset_order(row.dataset))),
        comparison=compare(rows, published, own_scales),
        published=bool(published),
        notes=(
            *_general_notes(rows, deltas, own_scales or {}),
            *notes,
            *_other_data_note(rows, published),
            *published_notes(published),
            *sorted(set(repeats)),
            *_version_notes(episodes),
        ),
        deltas=deltas,
    )


def _sorted(rows: Sequence[ResultRow], sort: str) -> tuple[ResultRow, ...]:
    """The rows, which are in the order of their names, with the best of each dataset first."""
    keys: dict[str, Callable[[ResultRow], float]] = {
        "name": lambda row: 0.0,
        "score": lambda row: -row.measure.mean,
        "iqm": lambda row: -row.measure.iqm,
        "return": lambda row: -row.return_.mean,
        "time": lambda row: np.inf if row.seconds_per_step is None else row.seconds_per_step,
    }
    return tuple(sorted(rows, key=lambda row: (dataset_order(row.dataset), keys[sort](row))))


def _general_notes(rows: Sequence[ResultRow], deltas: Sequence[DeltaRow], own_scales: Mapping[str, str]) -> list[str]:
    """How to read the columns that the table has."""
    notes = []
    if any(row.cut for row in rows):
        notes.append(CUT_NOTE)
    scored = {row.dataset for row in rows if row.score is not None}
    if scored:
        own = scored & set(own_scales)
        notes.append(MIXED_SCORE_NOTE if own and scored - own else OWN_SCORE_NOTE if own else SCORE_NOTE)
        notes += [f"{dataset}: {own_scales[dataset]}" for dataset in sorted(own)]
    if rows:
        notes.append(SPREAD_NOTE)
    if unscored := [row.env_id for row in rows if row.score is None]:
        notes.append(RETURN_NOTE.format(common_reference(unscored)))
    if deltas:
        notes.append(DELTA_NOTE)
    return notes


def _other_data_note(rows: Sequence[ResultRow], published: Sequence[PublishedMethod]) -> list[str]:
    """A note that names the datasets of the table that the published figures are not for; empty if there is none."""
    others = sorted({row.dataset for row in rows} - set(D4RL_DATASETS))
    return [PUBLISHED_NOTE.format(", ".join(others))] if published and others else []


def _result_row(dataset: str, method: str, episodes: list[EpisodeResult]) -> ResultRow:
    seconds = [episode.seconds_per_step for episode in episodes if episode.seconds_per_step is not None]
    per_run = Counter(episode.replicate for episode in episodes).values()
    return ResultRow(
        dataset=dataset,
        method=method,
        score=_summarize_scores(episodes),
        return_=summarize_episodes([episode.return_ for episode in episodes], episodes),
        steps=float(np.mean([episode.steps for episode in episodes])),
        terminated=float(np.mean([episode.terminated for episode in episodes])),
        seconds_per_step=float(np.mean(seconds)) if seconds else None,
        runs=len(per_run),
        episodes_per_run=(min(per_run), max(per_run)),
        env_id=episodes[0].env_id,
        settings=episodes[0].settings_label,
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

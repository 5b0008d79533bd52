"""What fine-tuning changed: each fine-tuned run compared with its parent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seqrl_cli.reports.groups import group_episodes
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import paired_interval

DELTA_NOTE = (
    "− offline, − parent: mean of a fine-tuned run minus that of its parent, with the same plan settings; "
    "the 95 % interval is Student's t over seeds"
)


Pair = tuple[Sequence[EpisodeResult], Sequence[EpisodeResult]]
"""Episodes of a fine-tuned run and of its parent."""


@dataclass(frozen=True)
class DeltaRow:
    """The fine-tuned runs of one method minus their parents.

    Attributes:
        dataset: dataset id.
        method: the method of the fine-tuned runs, as in their own row of the table.
        pairs: how many seeds are compared; several fine-tuned runs of one seed are averaged first.
        score: mean difference of the normalized score, where 100 is the reference policy; None without reference
            scores.
        score_interval: 95 % interval of it over pairs; None for one pair.
        return_: mean difference of the return.
        return_interval: 95 % interval of it over pairs; None for one pair.
        before: what the parents are called.
    """

    dataset: str
    method: str
    pairs: int
    score: float | None
    score_interval: tuple[float, float] | None
    return_: float
    return_interval: tuple[float, float] | None
    before: str = "offline"

    @property
    def label(self) -> str:
        """The name of the row, for example ``"odt online ctx5 − offline"``."""
        return f"{self.method} − {self.before}"


def delta_rows(episodes: Sequence[EpisodeResult], by: str = "method") -> list[DeltaRow]:
    """One row per group of fine-tuned runs; at least one parent must have episodes with the same settings.

    Args:
        episodes: all episodes, of fine-tuned runs and of their parents.
        by: see ``group_episodes``.
    """
    by_run: dict[tuple[str, str, str], list[EpisodeResult]] = defaultdict(list)
    for episode in episodes:
        by_run[episode.dataset, episode.run, episode.settings_label].append(episode)
    rows = []
    for (dataset, label), group in group_episodes(episodes, by).items():
        pairs: dict[str, list[Pair]] = defaultdict(list)
        for run in sorted({episode.run for episode in group if episode.parent}):
            after = [episode for episode in group if episode.run == run]
            if before := _of_parent(by_run, after[0]):
                pairs[after[0].replicate].append((after, before))
        if pairs:
            rows.append(_delta_row(dataset, label, list(pairs.values())))
    return rows


def _of_parent(
    by_run: Mapping[tuple[str, str, str], Sequence[EpisodeResult]], episode: EpisodeResult
) -> Sequence[EpisodeResult]:
    """The episodes of a fine-tuned run's parent with the same settings: on the same data, else in the same task."""
    folder, _, name = (episode.parent or "").rpartition("/")
    for dataset in (episode.dataset, folder):
        if found := by_run.get((dataset, name, episode.settings_label)):
            return [other for other in found if other.task == episode.task]
    return []


def _delta_row(dataset: str, method: str, seeds: Sequence[Sequence[Pair]]) -> DeltaRow:
    returns = _differences(seeds, _mean_return)
    scores = _differences(seeds, _mean_score)
    scored = bool(np.isfinite(scores).all())
    return DeltaRow(
        dataset,
        method,
        len(seeds),
        score=float(np.mean(scores)) if scored else None,
        score_interval=paired_interval(scores) if scored else None,
        return_=float(np.mean(returns)),
        return_interval=paired_interval(returns),
        before="offline" if seeds[0][0][0][0].learned is None else "parent",
    )


def _differences(seeds: Sequence[Sequence[Pair]], mean: Callable[[Sequence[EpisodeResult]], float]) -> Sequence[float]:
    """One difference per seed, averaged over its fine-tuned runs, which are not independent of each other."""
    return [float(np.mean([mean(after) - mean(before) for after, before in pairs])) for pairs in seeds]


def _mean_return(episodes: Sequence[EpisodeResult]) -> float:
    return float(np.mean([episode.return_ for episode in episodes]))


def _mean_score(episodes: Sequence[EpisodeResult]) -> float:
    """Mean normalized score in percent; NaN if an episode has no score."""
    return float(np.mean([np.nan if episode.score is None else 100 * episode.score for episode in episodes]))

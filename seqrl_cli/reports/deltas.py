"""What online fine-tuning changed: each fine-tuned run against the run that it began from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqrl_cli.reports.results import EpisodeResult, group_episodes
from seqrl_cli.reports.statistics import paired_interval

DELTA_NOTE = (
    "− offline: difference of the means of a fine-tuned run and its parent, played alike; n counts pairs, and "
    "the 95 % interval is Student's t over them"
)


@dataclass(frozen=True)
class DeltaRow:
    """The fine-tuned runs of one method minus their parents.

    Attributes:
        dataset: dataset id.
        method: for example ``"odt online ctx5 − offline"``.
        pairs: how many runs were compared, each with its own parent.
        score: mean difference of the normalized score, in points of which 100 are the reference policy; None without
            reference scores.
        score_interval: 95 % interval of it over pairs; None for one pair.
        return_: mean difference of the return.
        return_interval: 95 % interval of it over pairs; None for one pair.
    """

    dataset: str
    method: str
    pairs: int
    score: float | None
    score_interval: tuple[float, float] | None
    return_: float
    return_interval: tuple[float, float] | None


def delta_rows(episodes: Sequence[EpisodeResult], by: str = "method") -> list[DeltaRow]:
    """A row for each group of fine-tuned runs of which at least one parent was played with the same settings.

    Args:
        episodes: all episodes, of fine-tuned runs and of their parents.
        by: as in ``group_episodes``.
    """
    played: dict[tuple[str, str, str], list[EpisodeResult]] = {}
    for episode in episodes:
        played.setdefault((episode.dataset, episode.run, episode.settings_label), []).append(episode)
    rows = []
    for (dataset, label), group in group_episodes(episodes, by).items():
        keys = sorted({(dataset, e.run, e.settings_label, e.parent) for e in group if e.parent is not None})
        pairs = [
            (played[dataset, run, settings], played[dataset, parent, settings])
            for _, run, settings, parent in keys
            if parent and (dataset, parent, settings) in played
        ]
        if pairs:
            rows.append(_delta_row(dataset, f"{label} − offline", pairs))
    return rows


def _delta_row(dataset: str, method: str, pairs: Sequence[tuple[list[EpisodeResult], list[EpisodeResult]]]) -> DeltaRow:
    returns = [_mean_return(after) - _mean_return(before) for after, before in pairs]
    scores = [_mean_score(after) - _mean_score(before) for after, before in pairs]
    scored = bool(np.isfinite(scores).all())
    return DeltaRow(
        dataset,
        method,
        len(pairs),
        score=float(np.mean(scores)) if scored else None,
        score_interval=paired_interval(scores) if scored else None,
        return_=float(np.mean(returns)),
        return_interval=paired_interval(returns),
    )


def _mean_return(episodes: Sequence[EpisodeResult]) -> float:
    return float(np.mean([episode.return_ for episode in episodes]))


def _mean_score(episodes: Sequence[EpisodeResult]) -> float:
    """In percent; NaN when an episode has no score."""
    return float(np.mean([np.nan if episode.score is None else 100 * episode.score for episode in episodes]))

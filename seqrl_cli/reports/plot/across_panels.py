"""Panels of methods over several datasets: aggregates, improvement, performance profiles, and bars of averages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from seqrl_cli.console import counted
from seqrl_cli.reports.across_datasets import (
    STATISTICS,
    Across,
    Estimate,
    MethodScores,
    estimate,
    methods_across,
    ordered_improvements,
    profile,
)
from seqrl_cli.reports.plot.curves import Panel, PointsRow, Series
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.table.comparison import D4RL_DATASETS, NINE_DATASETS
from seqrl_cli.reports.table.published import PublishedMethod

_THRESHOLDS = 200  # of a performance profile
_MAX_PAIRS = 12
_NORMAL_QUANTILE = 1.96
PUBLISHED_COLOUR = 6  # grey


def build_across_panels(
    kind: str, episodes: Sequence[EpisodeResult], published: Sequence[PublishedMethod] = ()
) -> list[Panel]:
    """The panels of a kind (one of ``ACROSS_KINDS``); none if no method has normalized scores.

    Args:
        kind: ``aggregate``, ``improvement``, ``profile`` or ``average``.
        episodes: episodes of all runs.
        published: published figures, for ``average``.
    """
    if kind == "average":
        return _averages(episodes, published)
    across = methods_across(episodes)
    return _BUILDERS[kind](across) if across.methods else []


def _aggregates(across: Across) -> list[Panel]:
    panels = []
    for name in STATISTICS:
        found = [(method, estimate(method, name)) for method in across.methods]
        rows = tuple(_row(method.name, one, colour) for colour, (method, one) in enumerate(found))
        title = f"{name[0].upper()}{name[1:]} over {_count(across)}, with 95 % intervals"
        panels.append(Panel("aggregate", title, "normalized score (%)", "", dots=rows))
    return panels


def _improvements(across: Across) -> list[Panel]:
    rows = [
        _row(f"{better.name} > {worse.name}", probability, across.methods.index(better))
        for better, worse, probability in ordered_improvements(across)
    ]
    if not rows:
        return []
    rows.sort(key=lambda row: -row.mean)
    title = f"Probability of improvement over {_count(across)}, with 95 % intervals"
    if len(rows) > _MAX_PAIRS:
        title += f"; the {_MAX_PAIRS} clearest of {len(rows)} pairs"
    return [Panel("improvement", title, "P(A > B); 0.5 is chance", "", dots=tuple(rows[:_MAX_PAIRS]))]


def _profiles(across: Across) -> list[Panel]:
    everything = np.concatenate([one for method in across.methods for one in method.by_dataset])
    margin = 0.05 * float(np.ptp(everything)) or 1.0
    thresholds = np.linspace(float(everything.min()) - margin, float(everything.max()) + margin, _THRESHOLDS)
    series = [_profile(method, thresholds, colour) for colour, method in enumerate(across.methods)]
    title = f"Performance profiles over {_count(across)}" + ("; 95 % bands" if any(one.low for one in series) else "")
    x_label = "normalized score τ (%)"
    return [Panel("profile", title, x_label, "fraction of runs above τ", tuple(series))]


def _profile(method: MethodScores, thresholds: np.ndarray, colour: int) -> Series:
    y, ends = profile(method, thresholds)
    low, high = (None, None) if ends is None else (tuple(ends[0].tolist()), tuple(ends[1].tolist()))
    x = tuple(thresholds.tolist())
    return Series(method.name, x, tuple(y.tolist()), low, high, len(method.scores), colour)


def _averages(episodes: Sequence[EpisodeResult], published: Sequence[PublishedMethod]) -> list[Panel]:
    """Bars of averages: one panel for D4RL's settings with the published figures, one for other data."""
    d4rl = methods_across([episode for episode in episodes if episode.dataset in D4RL_DATASETS])
    other = methods_across([episode for episode in episodes if episode.dataset not in D4RL_DATASETS])
    panels = []
    if published or d4rl.methods:
        panels.append(_d4rl_bars(d4rl, published))
    if other.methods:
        rows = [_row(method.name, estimate(method, "mean"), colour) for colour, method in enumerate(other.methods)]
        title = f"Average performance over {_count(other)}: {', '.join(other.datasets)}"
        panels.append(Panel("average", title, "", "normalized score (%)", bars=tuple(rows)))
    return panels


def _d4rl_bars(own: Across, published: Sequence[PublishedMethod]) -> Panel:
    """Published averages in grey beside ours, all over the same settings."""
    datasets = own.datasets if own.methods else NINE_DATASETS
    whole = [method for method in published if all(dataset in method.scores for dataset in datasets)]
    rows = [_row(method.name, _published_mean(method, datasets), PUBLISHED_COLOUR) for method in whole]
    rows += [
        _row(f"{method.name} (ours)", estimate(method, "mean"), colour % PUBLISHED_COLOUR)
        for colour, method in enumerate(own.methods)
    ]
    rows.sort(key=lambda row: row.mean)
    some = "" if set(datasets) == set(NINE_DATASETS) else f" of D4RL: {', '.join(datasets)}"
    nine = " (without Ant)" if not some else ""
    title = f"Average performance{nine} over {len(datasets)} settings{some}"
    return Panel("average", title, "", "normalized score (%)", bars=tuple(rows))


def _published_mean(method: PublishedMethod, datasets: Sequence[str]) -> Estimate:
    """The average, with an interval where all settings have standard errors."""
    value = float(np.mean([method.scores[dataset] for dataset in datasets]))
    errors = [method.errors[dataset] for dataset in datasets if dataset in method.errors]
    if len(errors) < len(datasets):
        return Estimate(value, None)
    half = _NORMAL_QUANTILE * float(np.sqrt(np.sum(np.square(errors)))) / len(datasets)
    return Estimate(value, (value - half, value + half))


def _row(label: str, found: Estimate, colour: int) -> PointsRow:
    return PointsRow(label, (), found.value, found.interval, colour)


def _count(across: Across) -> str:
    return counted(len(across.datasets), "dataset")


_BUILDERS: dict[str, Callable[[Across], list[Panel]]] = {
    "aggregate": _aggregates,
    "improvement": _improvements,
    "profile": _profiles,
}
ACROSS_KINDS = (*_BUILDERS, "average")

"""Methods across several datasets: which results compare, and the statistics of Agarwal et al. over all of them.

Agarwal, Schwarzer, Castro, Courville, Bellemare, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264), sections 3 and 4. A run's score on a dataset is the mean over its episodes. Intervals resample the
runs of each dataset (stratified bootstrap) and keep the datasets as they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.groups import drop_repeats, group_episodes
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import RESAMPLES, interquartile_mean, named_generator

Scores = Sequence[np.ndarray]
"""For each dataset, one normalized score in percent per run: (runs,), or of resamples (resamples, runs)."""

TARGET = 100.0
"""The score that the optimality gap is measured from."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval; None where no dataset has two runs."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class MethodScores:
    """A method on the datasets that are compared.

    Attributes:
        name: name of the method, the same on all datasets.
        scores: scores by dataset id: one score in percent per run.
        episodes: number of episodes of all runs together.
    """

    name: str
    scores: Mapping[str, np.ndarray]
    episodes: int

    @property
    def by_dataset(self) -> list[np.ndarray]:
        """The scores of each dataset, in the order of their ids."""
        return [self.scores[dataset] for dataset in sorted(self.scores)]

    @property
    def runs(self) -> tuple[int, int]:
        """The fewest and the most runs per dataset."""
        counts = [len(scores) for scores in self.scores.values()]
        return min(counts), max(counts)


@dataclass(frozen=True)
class Across:
    """Results that compare: methods that all have results on all of the datasets.

    Attributes:
        datasets: ids of the datasets.
        methods: the methods, in order of their names.
        notes: what was left out, and why.
    """

    datasets: tuple[str, ...]
    methods: tuple[MethodScores, ...]
    notes: tuple[str, ...]


def methods_across(episodes: Sequence[EpisodeResult]) -> Across:
    """The methods that have normalized scores on the same datasets, as many datasets as possible.

    A method's plan settings may differ from dataset to dataset; if one dataset has several settings of it, each of them
    is a method.
    """
    found, unscored = _scores(episodes)
    by_method: dict[str, dict[str, list[EpisodeResult]]] = defaultdict(dict)
    for (dataset, name), group in found.items():
        by_method[name][dataset] = group
    datasets = _most_shared(by_method.values())
    notes = [f"left out, without reference scores: {', '.join(sorted(unscored))}"] if unscored else []
    methods = []
    for name in sorted(by_method, key=natural_order):
        own = by_method[name]
        if missing := [dataset for dataset in datasets if dataset not in own]:
            notes.append(f"left out: {name} has no results on {', '.join(missing)}")
            continue
        runs = {dataset: _by_run(own[dataset]) for dataset in datasets}
        methods.append(MethodScores(name, runs, sum(len(own[dataset]) for dataset in datasets)))
    others = sorted({dataset for own in by_method.values() for dataset in own} - set(datasets))
    if others:
        notes.append(f"left out, not shared by these methods: {', '.join(others)}")
    return Across(tuple(datasets), tuple(methods), tuple(notes))


def _scores(
    episodes: Sequence[EpisodeResult],
) -> tuple[dict[tuple[str, str], list[EpisodeResult]], set[str]]:
    """Scored episodes by dataset and by the name of their method in all datasets; and datasets without scores."""
    groups = {key: drop_repeats(group)[0] for key, group in group_episodes(episodes).items()}
    short = {key: key[1].removesuffix(group[0].settings_label).strip() or key[1] for key, group in groups.items()}
    counts = Counter((dataset, short[dataset, method]) for dataset, method in groups)
    several = {name for (_, name), count in counts.items() if count > 1}
    found: dict[tuple[str, str], list[EpisodeResult]] = {}
    unscored = set()
    for (dataset, method), group in groups.items():
        if any(episode.score is None for episode in group):
            unscored.add(dataset)
            continue
        name = short[dataset, method]
        found[dataset, method if name in several else name] = group
    return found, unscored


def _most_shared(methods: Iterable[Mapping[str, object]]) -> list[str]:
    """The largest set of datasets that some method has results on, if possible one that two methods share."""
    sets = [frozenset(own) for own in methods]
    if not sets:
        return []
    best = max(sorted(set(sets), key=sorted), key=lambda own: (_sharing(own, sets) > 1, len(own), _sharing(own, sets)))
    return sorted(best)


def _sharing(datasets: frozenset[str], sets: Iterable[frozenset[str]]) -> int:
    """How many methods have results on all of these datasets."""
    return sum(datasets <= other for other in sets)


def _by_run(episodes: Sequence[EpisodeResult]) -> np.ndarray:
    """The mean score in percent of each seed's episodes, in the order of the seeds."""
    seeds: dict[str, list[float]] = defaultdict(list)
    for episode in episodes:
        assert episode.score is not None
        seeds[episode.replicate].append(100.0 * episode.score)
    return np.array([np.mean(seeds[seed]) for seed in sorted(seeds, key=natural_order)])


def mean(scores: Scores) -> np.ndarray:
    """The mean over datasets of the mean over runs."""
    return np.asarray(np.mean([one.mean(axis=-1) for one in scores], axis=0))


def median(scores: Scores) -> np.ndarray:
    """The median over datasets of the mean over runs."""
    return np.asarray(np.median([one.mean(axis=-1) for one in scores], axis=0))


def iqm(scores: Scores) -> np.ndarray:
    """The mean of the middle half of all runs on all datasets."""
    return interquartile_mean(np.concatenate(list(scores), axis=-1))


def optimality_gap(scores: Scores) -> np.ndarray:
    """The mean shortfall of runs from a score of 100, where a higher score counts as 100."""
    return np.asarray(TARGET - np.minimum(np.concatenate(list(scores), axis=-1), TARGET).mean(axis=-1))


STATISTICS: dict[str, Callable[[Scores], np.ndarray]] = {
    "IQM": iqm,
    "mean": mean,
    "median": median,
    "optimality gap": optimality_gap,
}
"""The statistics over the runs of all datasets, for arrays (runs,) or, of resamples, (resamples, runs)."""


def probability_of_improvement(better: Scores, worse: Scores) -> np.ndarray:
    """The probability that a run of one method scores above a run of another, mean over datasets; ties count half.

    Per dataset it is the Mann-Whitney U statistic over the number of pairs (Agarwal et al., section 4.3).
    """
    shares = []
    for one, other in zip(better, worse, strict=True):
        left, right = one[..., :, None], other[..., None, :]
        shares.append(np.mean((left > right) + 0.5 * (left == right), axis=(-2, -1)))
    return np.asarray(np.mean(shares, axis=0))


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """The fraction of runs that score above each threshold, over all datasets (Agarwal et al., equation 2)."""
    everything = np.concatenate(list(scores), axis=-1)
    return np.asarray((everything[..., None] > thresholds).mean(axis=-2))


def estimate(method: MethodScores, statistic: str) -> Estimate:
    """One of ``STATISTICS`` of a method."""
    compute = STATISTICS[statistic]
    ends = _interval([method], lambda drawn: compute(drawn[0]), RESAMPLES, statistic)
    return Estimate(float(compute(method.by_dataset)), None if ends is None else (float(ends[0]), float(ends[1])))


def improvement(better: MethodScores, worse: MethodScores) -> Estimate:
    """The probability that a run of ``better`` scores above one of ``worse``."""
    value = float(probability_of_improvement(better.by_dataset, worse.by_dataset))
    ends = _interval([better, worse], lambda drawn: probability_of_improvement(*drawn), RESAMPLES, "improvement")
    return Estimate(value, None if ends is None else (float(ends[0]), float(ends[1])))


def ordered_improvements(across: Across) -> list[tuple[MethodScores, MethodScores, Estimate]]:
    """Each pair of methods, first the one that is likelier to score above the other, with :func:`improvement`."""
    pairs = []
    for one, other in combinations(across.methods, 2):
        ahead = float(probability_of_improvement(one.by_dataset, other.by_dataset)) >= 0.5
        better, worse = (one, other) if ahead else (other, one)
        pairs.append((better, worse, improvement(better, worse)))
    return pairs


def profile(method: MethodScores, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The performance profile (thresholds,) and its pointwise 95 % interval (2, thresholds); None with single runs."""
    ends = _interval([method], lambda drawn: performance_profile(drawn[0], thresholds), RESAMPLES // 5, "profile")
    return performance_profile(method.by_dataset, thresholds), ends


def _interval(
    methods: Sequence[MethodScores], statistic: Callable[[Sequence[Scores]], np.ndarray], resamples: int, name: str
) -> np.ndarray | None:
    """The 95 % percentile interval (2, …) of a statistic of one or several methods, by stratified bootstrap.

    The runs of each dataset are resampled by themselves, and those of each method.
    """
    scores = [method.by_dataset for method in methods]
    if all(len(one) == 1 for own in scores for one in own):
        return None
    rng = named_generator(name, *(method.name for method in methods))
    drawn = [[one[rng.integers(len(one), size=(resamples, len(one)))] for one in own] for own in scores]
    return np.asarray(np.percentile(statistic(drawn), [2.5, 97.5], axis=0))

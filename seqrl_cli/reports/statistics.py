"""Mean, standard error, interquartile mean and bootstrap intervals of episode results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 5000


@dataclass(frozen=True)
class Summary:
    """Statistics of one row of a table, in the unit of the values.

    Attributes:
        count: number of values.
        mean: arithmetic mean.
        standard_error: standard error of the mean. With several runs it is over them: the sample deviation of their
            means over the root of their number. With one run it is over its episodes, ``std(ddof=0) / sqrt(n)``, as the
            Trajectory Transformer's ``read_results.py`` has it. None for a single value, whose spread is unknown.
        iqm: mean of the middle half (Agarwal et al., "Deep RL at the edge of the statistical precipice").
        mean_interval, iqm_interval: 95 % bootstrap intervals ``(low, high)``; None for a single value.
        runs: runs (that is, training seeds) behind the values.
    """

    count: int
    mean: float
    standard_error: float | None
    iqm: float
    mean_interval: tuple[float, float] | None
    iqm_interval: tuple[float, float] | None
    runs: int = 1


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean over an axis without the lowest and the highest quarter of the values."""
    count = np.shape(values)[axis]
    cut = count // 4
    # as scipy.stats.trim_mean, to the bit: the order decides how sums are rounded
    ordered = np.partition(values, (cut, count - cut - 1), axis=axis)
    middle = np.mean(np.take(ordered, range(cut, count - cut), axis=axis), axis=axis)
    return np.where(np.isnan(np.sum(values, axis=axis)), np.nan, middle)


def named_generator(*names: str) -> np.random.Generator:
    """A generator that depends only on these names, and not on the machine."""
    text = "\0".join(names).encode("utf-8", errors="surrogatepass")
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()[:16], "big"))


def summarize(values: Sequence[float], runs: Sequence[str], rng: np.random.Generator) -> Summary:
    """Summarize ``values (n,)``, each of which comes from the run at the same position.

    Args:
        values: scores or returns of episodes, at least one.
        runs: the run (that is, the training seed) behind each value.
        rng: draws the bootstrap's resamples.
    """
    data = np.asarray(values, dtype=np.float64)
    assert data.ndim == 1 and len(data) == len(runs) >= 1
    mean, iqm = float(data.mean()), float(interquartile_mean(data))
    if len(data) == 1:
        return Summary(1, mean, None, iqm, None, None)
    groups = by_run(data, runs)
    return Summary(
        count=len(data),
        mean=mean,
        standard_error=_standard_error(groups),
        iqm=iqm,
        mean_interval=_interval(groups, np.mean, rng),
        iqm_interval=_interval(groups, interquartile_mean, rng),
        runs=len(groups),
    )


def _standard_error(groups: Sequence[np.ndarray]) -> float:
    """The standard error of the mean over runs, or over the episodes of the only run."""
    if len(groups) == 1:
        return float(groups[0].std() / np.sqrt(len(groups[0])))
    means = np.array([group.mean() for group in groups])
    return float(means.std(ddof=1) / np.sqrt(len(groups)))


def summarize_tasks(tasks: Sequence[Mapping[str, Sequence[float]]], rng: np.random.Generator) -> Summary:
    """Summarize results in several tasks, each the mean of one seed's episodes in one task.

    The mean is that of the tasks' means, and the interquartile mean that of the middle half of all seeds in all tasks.
    Intervals resample seeds within each task, which stays as it is (Agarwal et al., section 4.2), and then each seed's
    episodes. If all tasks have the same seeds, seeds are drawn for all tasks together, since one model plays them all.

    Args:
        tasks: each task's values of each seed's episodes, at least one.
        rng: draws the resamples.
    """
    means = np.array([np.mean(values) for task in tasks for values in task.values()])
    weights = np.concatenate([np.full(len(task), 1 / len(task) / len(tasks)) for task in tasks])

    def mean(entries: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.average(entries, axis=axis, weights=weights))

    center, iqm = float(mean(means)), float(interquartile_mean(means))
    if all(len(task) == 1 and len(values) == 1 for task in tasks for values in task.values()):
        return Summary(len(means), center, None, iqm, None, None)
    resamples = _resample_tasks(tasks, rng)
    ends = [np.percentile(statistic(resamples), [2.5, 97.5]).tolist() for statistic in (mean, interquartile_mean)]
    return Summary(len(means), center, None, iqm, (ends[0][0], ends[0][1]), (ends[1][0], ends[1][1]))


def _resample_tasks(tasks: Sequence[Mapping[str, Sequence[float]]], rng: np.random.Generator) -> np.ndarray:
    """Means of resampled seeds and episodes, (resamples, seeds of all tasks)."""
    together = len({frozenset(task) for task in tasks}) == 1
    seeds = rng.integers(len(tasks[0]), size=(RESAMPLES, len(tasks[0])))
    columns = []
    for task in tasks:
        chosen = seeds if together else rng.integers(len(task), size=(RESAMPLES, len(task)))
        columns.append(_resample_episodes([np.asarray(task[name], np.float64) for name in sorted(task)], chosen, rng))
    return np.concatenate(columns, axis=1)


def _resample_episodes(seeds: list[np.ndarray], chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mean of resampled episodes of each chosen seed, as ``chosen`` (resamples, seeds)."""
    drawn = np.stack(
        [values[rng.integers(len(values), size=(*chosen.shape, len(values)))].mean(-1) for values in seeds]
    )
    resampled: np.ndarray = np.take_along_axis(drawn, chosen[None], axis=0)[0]
    return resampled


def paired_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of ``differences (n,)`` by Student's t; None for a single difference.

    With a handful of seeds, the bootstrap's intervals would be far too narrow.
    """
    data = np.asarray(differences, dtype=np.float64)
    if len(data) < 2:
        return None
    mean = data.mean()
    half = t_half_width(data)
    return float(mean - half), float(mean + half)


def t_half_width(values: np.ndarray) -> np.ndarray:
    """Half the width of Student's 95 % interval of the mean over the first axis, which has two or more values."""
    from scipy.special import stdtrit  # here, since most tables need no scipy, which takes a second to import

    n = len(values)
    return np.asarray(stdtrit(n - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(n))


def mean_band(values: np.ndarray, runs: Sequence[str], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % bootstrap interval of the mean at each point of some curves, as :func:`summarize` has it at one point.

    Args:
        values: (curves, points), two or more curves.
        runs: the run behind each curve.
        rng: draws the resamples.

    Returns:
        The lower and the upper ends, (points,) each.
    """
    groups = by_run(np.arange(len(values)), runs)
    several = len(groups) > 1
    drawn = _resample_runs(groups, rng) if several else rng.integers(len(values), size=(RESAMPLES, len(values)))
    numbered = drawn + len(values) * np.arange(RESAMPLES)[:, None]
    shares = np.bincount(numbered.ravel(), minlength=RESAMPLES * len(values)) / drawn.shape[1]
    low, high = np.percentile(shares.reshape(RESAMPLES, -1) @ values, [2.5, 97.5], axis=0)
    return low, high


def by_run(values: np.ndarray, runs: Sequence[str]) -> list[np.ndarray]:
    """Split the values by run."""
    names, membership = np.unique(np.asarray(runs), return_inverse=True)
    return [values[membership == index] for index in range(len(names))]


def _interval(groups: list[np.ndarray], statistic: Callable[..., Any], rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic over the last axis.

    Episodes of one run do not show how runs vary. So with several runs, runs are resampled (Agarwal et al., section 3),
    and then the episodes of each resampled run.
    """
    if len(groups) > 1:
        low, high = np.percentile(statistic(_resample_runs(groups, rng), axis=-1), [2.5, 97.5])
        return float(low), float(high)
    from scipy.stats import bootstrap  # here, as above

    drawn = bootstrap(groups, statistic, n_resamples=RESAMPLES, vectorized=True, method="percentile", rng=rng)
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def _resample_runs(groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Resample runs and then their episodes, as many per run as runs have on average: (resamples, values)."""
    sizes = np.array([len(group) for group in groups])
    starts = np.cumsum(sizes) - sizes
    runs = rng.integers(len(groups), size=(RESAMPLES, len(groups), 1))
    positions = rng.random((RESAMPLES, len(groups), round(sizes.mean()))) * sizes[runs]
    return np.concatenate(groups)[starts[runs] + positions.astype(np.int64)].reshape(RESAMPLES, -1)

"""Mean, standard error, interquartile mean and stratified bootstrap intervals of episode results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, t, trim_mean

RESAMPLES = 5000


@dataclass(frozen=True)
class Summary:
    """Statistics of one row of a table, in the unit of the values.

    Attributes:
        count: number of values.
        mean: arithmetic mean.
        standard_error: ``std(ddof=0) / sqrt(n)``, as the Trajectory Transformer's ``read_results.py`` has it;
            None for one value, of which the spread is not known.
        iqm: mean of the middle half (Agarwal et al., "Deep RL at the edge of the statistical precipice").
        mean_interval, iqm_interval: 95 % bootstrap intervals ``(low, high)``; None for one value.
    """

    count: int
    mean: float
    standard_error: float | None
    iqm: float
    mean_interval: tuple[float, float] | None
    iqm_interval: tuple[float, float] | None


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of ``(…, n)`` after a quarter of the values is cut off at each end."""
    return np.asarray(trim_mean(values, 0.25, axis=-1))


def summarize(values: Sequence[float], strata: Sequence[str], rng: np.random.Generator) -> Summary:
    """Summarize ``values (n,)``, of which each belongs to the stratum of the same place.

    Args:
        values: scores or returns, at least one.
        strata: the run or seed behind each value; resampling keeps every run's share.
        rng: source of the bootstrap's resamples.
    """
    data = np.asarray(values, dtype=np.float64)
    assert data.ndim == 1 and len(data) == len(strata) >= 1
    mean, iqm = float(data.mean()), float(interquartile_mean(data))
    if len(data) == 1:
        return Summary(1, mean, None, iqm, None, None)
    groups = stratified(data, strata)
    return Summary(
        count=len(data),
        mean=mean,
        standard_error=float(data.std() / np.sqrt(len(data))),
        iqm=iqm,
        mean_interval=_interval(groups, lambda rows: rows.mean(axis=-1), rng),
        iqm_interval=_interval(groups, interquartile_mean, rng),
    )


def paired_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of ``differences (n,)`` by Student's t; None for one, of which no spread is known.

    A handful of seeds is too few for the bootstrap, whose intervals would be far too narrow.
    """
    data = np.asarray(differences, dtype=np.float64)
    if len(data) < 2:
        return None
    mean, error = data.mean(), data.std(ddof=1) / np.sqrt(len(data))
    reach = float(t.ppf(0.975, len(data) - 1) * error)
    return float(mean - reach), float(mean + reach)


def stratified(values: np.ndarray, strata: Sequence[str]) -> list[np.ndarray]:
    """The values of each stratum, which the bootstrap resamples apart.

    A stratum of one value can only repeat itself, which would hide its spread: when there is one, all values are a
    single stratum.
    """
    names, membership, sizes = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)
    if sizes.min() < 2:
        return [values]
    return [values[membership == index] for index in range(len(names))]


def _interval(
    groups: list[np.ndarray], statistic: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic over the last axis of all groups together."""

    def of_resamples(*samples: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.concatenate(samples, axis=axis))

    drawn = bootstrap(groups, of_resamples, n_resamples=RESAMPLES, vectorized=True, method="percentile", rng=rng)
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)

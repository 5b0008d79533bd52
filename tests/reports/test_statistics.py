"""Statistics against plain formulas and loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, trim_mean

from seqrl_cli.reports.statistics import interquartile_mean, summarize, t_half_width


def test_mean_and_standard_error_are_the_originals():
    values = [61.0, 55.5, 70.25, 48.0]
    summary = summarize(values, ["a"] * 4, np.random.default_rng(0))
    assert summary.count == 4
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.standard_error == pytest.approx(np.std(values) / 2)


def test_with_several_runs_the_standard_error_is_over_runs():
    summary = summarize([10.0, 12.0, 20.0, 22.0, 30.0, 32.0], list("aabbcc"), np.random.default_rng(0))
    assert summary.runs == 3 and summary.mean == 21.0
    assert summary.standard_error == pytest.approx(np.std([11, 21, 31], ddof=1) / np.sqrt(3))


def test_interquartile_mean_drops_a_quarter_at_each_end():
    values = np.array([-1000.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6])
    assert interquartile_mean(values) == pytest.approx(3.5)
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == pytest.approx(3.0)


@pytest.mark.parametrize("count", [*range(1, 30), 101])
def test_interquartile_means_and_widths_are_scipys_to_the_bit(count):
    values = 100 * np.random.default_rng(count).normal(size=(3, count))
    assert np.array_equal(interquartile_mean(values), trim_mean(values, 0.25, axis=-1))
    assert np.array_equal(interquartile_mean(values, axis=0), trim_mean(values, 0.25, axis=0))
    spread = t.ppf(0.975, 2) * values.std(axis=0, ddof=1) / np.sqrt(3)
    assert np.array_equal(t_half_width(values), spread)


def test_one_value_has_no_interval_and_no_error():
    summary = summarize([42.0], ["a"], np.random.default_rng(0))
    assert (summary.mean, summary.iqm) == (42.0, 42.0)
    assert summary.standard_error is None and summary.mean_interval is None and summary.iqm_interval is None


def plain_interval(groups, rng):
    """Resample runs, and each drawn run's episodes, 4,000 times, and take the percentiles of the means."""
    means = []
    for _ in range(4000):
        runs = [groups[index] for index in rng.integers(0, len(groups), len(groups))]
        means.append(np.concatenate([run[rng.integers(0, len(run), len(run))] for run in runs]).mean())
    return tuple(np.percentile(means, [2.5, 97.5]))


@pytest.mark.parametrize("sizes", [(25,), (12, 12), (10, 10, 10, 10, 10)])
def test_interval_agrees_with_a_plain_loop(sizes):
    rng = np.random.default_rng(1)
    groups = [rng.normal(50 + 5 * index, 10, size=size) for index, size in enumerate(sizes)]
    runs = [str(index) for index, size in enumerate(sizes) for _ in range(size)]
    summary = summarize(np.concatenate(groups).tolist(), runs, np.random.default_rng(2))
    expected = plain_interval(groups, np.random.default_rng(3))
    assert summary.mean_interval == pytest.approx(expected, abs=0.5)


def test_runs_that_differ_widen_the_interval():
    values = [10.0, 11.0, 12.0, 90.0, 91.0, 92.0]
    interval = summarize(values, list("aaabbb"), np.random.default_rng(0)).mean_interval
    assert interval and interval[0] < 12 and interval[1] > 90


def test_runs_of_unequal_length_are_resampled_alike():
    interval = summarize([10.0, 50.0, 50.0, 90.0, 90.0, 90.0], list("abbccc"), np.random.default_rng(0)).mean_interval
    assert interval and interval[0] < 30 and interval[1] > 80


def test_a_run_with_one_episode_does_not_hide_the_spread():
    interval = summarize([10.0, 50.0, 90.0], ["a", "b", "c"], np.random.default_rng(0)).mean_interval
    assert interval and interval[1] - interval[0] > 20


def test_the_same_generator_gives_the_same_interval():
    first, second = (summarize([1.0, 5.0, 9.0], list("aaa"), np.random.default_rng(4)) for _ in range(2))
    assert first == second

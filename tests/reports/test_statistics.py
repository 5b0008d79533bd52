"""Statistics against plain formulas and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from seqrl_cli.reports.statistics import interquartile_mean, stratified_resamples, summarize


def test_mean_and_standard_error_are_the_originals():
    values = [61.0, 55.5, 70.25, 48.0]
    summary = summarize(values, ["a"] * 4, np.random.default_rng(0))
    assert summary.count == 4
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.standard_error == pytest.approx(np.std(values) / 2)


def test_interquartile_mean_drops_a_quarter_at_each_end():
    values = np.array([-1000.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6])
    assert interquartile_mean(values) == pytest.approx(3.5)
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == pytest.approx(3.0)


def test_one_value_has_no_interval_and_no_error():
    summary = summarize([42.0], ["a"], np.random.default_rng(0))
    assert (summary.mean, summary.iqm) == (42.0, 42.0)
    assert summary.standard_error is None and summary.mean_interval is None and summary.iqm_interval is None


def test_interval_agrees_with_scipy_for_one_stratum():
    values = np.random.default_rng(1).normal(50, 10, size=25)
    summary = summarize(values.tolist(), ["a"] * 25, np.random.default_rng(2))
    expected = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(3)).confidence_interval
    assert summary.mean_interval == pytest.approx((expected.low, expected.high), abs=0.3)


def test_resampling_keeps_every_stratum_at_its_size():
    values = np.array([1.0, 2.0, 3.0, 100.0, 200.0])
    samples = stratified_resamples(values, ["a", "a", "a", "b", "b"], 500, np.random.default_rng(0))
    assert samples.shape == (500, 5)
    assert ((samples >= 100).sum(axis=1) == 2).all()
    assert set(np.unique(samples)) == set(values)


def test_strata_narrow_the_interval_when_runs_differ():
    values = [10.0, 11.0, 12.0, 90.0, 91.0, 92.0]
    rng = np.random.default_rng(0)
    narrow = summarize(values, list("aaabbb"), rng).mean_interval
    wide = summarize(values, list("aaaaaa"), rng).mean_interval
    assert narrow and wide and narrow[1] - narrow[0] < 3 < wide[1] - wide[0]


def test_a_run_with_one_episode_does_not_hide_the_spread():
    interval = summarize([10.0, 50.0, 90.0], ["a", "b", "c"], np.random.default_rng(0)).mean_interval
    assert interval and interval[1] - interval[0] > 20


def test_the_same_generator_gives_the_same_interval():
    first, second = (summarize([1.0, 5.0, 9.0], list("aaa"), np.random.default_rng(4)) for _ in range(2))
    assert first == second

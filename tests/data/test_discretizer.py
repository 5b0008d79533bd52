"""Bins against the definitions, and where few, equal or strange values make bins degenerate."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.errors import SeqrlError, UsageError
from tests.reference import expectation, fit_rows

STRATEGIES = ["quantile", "uniform"]


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Four dimensions: normal, constant, with many ties, and wide."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            rng.standard_normal(count),
            np.full(count, 3.25),
            rng.integers(0, 3, count).astype(float),
            1e6 * rng.standard_normal(count),
        ],
        axis=1,
    )


def naive_quantile_token(value: float, edges: np.ndarray) -> int:
    """The largest edge that is not above the value, clipped."""
    below = [index for index, edge in enumerate(edges) if value >= edge]
    return min(max(below, default=0), len(edges) - 2)


def naive_uniform_token(value: float, edges: np.ndarray) -> int:
    """As published: nudge, then count the upper edges that are passed."""
    nudged = value + 1e-8 + 1e-5 * abs(value)
    return min(int(np.digitize(nudged, edges[1:])), len(edges) - 2)


@pytest.mark.parametrize("count", [1, 2, 3, 50, 99, 100, 101, 150, 1050])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_number_of_rows_gives_whole_bins(count, strategy):
    data = rows(count)
    discretizer = fit_rows(data, 100, strategy)
    assert discretizer.edges.shape == (101, 4)
    assert (np.diff(discretizer.edges, axis=0) >= 0).all()
    np.testing.assert_array_equal(discretizer.edges[0], data.min(axis=0))
    np.testing.assert_array_equal(discretizer.edges[-1], data.max(axis=0))
    tokens = discretizer.encode(data)
    assert tokens.max() <= 99
    widest = np.diff(discretizer.edges, axis=0).max(axis=0)
    assert (np.abs(discretizer.decode(tokens) - data) <= widest + 1e-9 * np.abs(data)).all()


def test_quantile_edges_by_definition():
    data = rows(1050)[:, :1]
    ordered = np.sort(data[:, 0])
    picked = ordered[::11]  # ceil(1050 / 100)
    expected = np.concatenate([picked, np.full(101 - len(picked), ordered[-1])])
    np.testing.assert_array_equal(fit_rows(data, 100).edges[:, 0], expected)


def test_uniform_edges_divide_the_range():
    np.testing.assert_allclose(fit_rows(np.array([[0.0], [10.0], [9.0]]), 5, "uniform").edges[:, 0], range(0, 11, 2))


@pytest.mark.parametrize(("strategy", "naive"), [("quantile", naive_quantile_token), ("uniform", naive_uniform_token)])
def test_tokens_equal_the_naive_rule(strategy, naive):
    data = rows(500)[:, [0, 2]]
    discretizer = fit_rows(data, 20, strategy)
    edges = discretizer.edges
    probe = np.concatenate([rows(300, seed=1)[:, [0, 2]], edges, edges - 1e-9, [[-1e9, -1e9], [1e9, 1e9]]])
    expected = [[naive(value, edges[:, dim]) for dim, value in enumerate(row)] for row in probe]
    np.testing.assert_array_equal(discretizer.encode(probe), expected)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_token_decodes_to_a_value_of_that_token(strategy):
    discretizer = fit_rows(rows(5000)[:, [0, 3]], 100, strategy)
    tokens = np.stack([np.arange(100)] * 2, axis=1)
    np.testing.assert_array_equal(discretizer.encode(discretizer.decode(tokens)), tokens)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_infinite_values_take_the_outer_bins(strategy):
    discretizer = fit_rows(rows(100), 10, strategy)
    assert (discretizer.encode(np.full(4, -np.inf)) == 0).all()
    assert (discretizer.encode(np.full(4, np.inf)) == 9).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_maximum_takes_the_last_bin_and_constants_decode_to_themselves(strategy):
    data = rows(200)
    discretizer = fit_rows(data, 10, strategy)
    assert (discretizer.encode(data.max(axis=0)) == 9).all()
    assert (discretizer.decode(discretizer.encode(data))[:, 1] == 3.25).all()


def test_nudge_never_passes_a_bin():
    # 1e-5 of the value is ten bins here; tokens must still follow the values.
    data = (1e6 + np.linspace(0.0, 1.0, 101))[:, None]
    discretizer = fit_rows(data, 100, "uniform")
    tokens = discretizer.encode(data)[:, 0].astype(int)
    assert (np.abs(tokens - np.arange(101)) <= 1).all()


def test_parts_of_a_transition():
    data = rows(100)
    discretizer = fit_rows(data, 10)
    whole = discretizer.encode(data)
    np.testing.assert_array_equal(discretizer.encode(data[:, 2:], start=2), whole[:, 2:])
    np.testing.assert_array_equal(discretizer.decode(whole[:, 1:3], start=1), discretizer.decode(whole)[:, 1:3])
    np.testing.assert_array_equal(discretizer.encode(data.reshape(10, 10, 4)), whole.reshape(10, 10, 4))


def test_stop_token_decodes_as_the_last_bin():
    discretizer = fit_rows(rows(100), 10)
    np.testing.assert_array_equal(discretizer.decode(np.full(4, 10)), discretizer.decode(np.full(4, 9)))


@pytest.mark.parametrize(("bins", "dtype"), [(100, np.uint8), (255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_smallest_type_that_holds_the_stop_token(bins, dtype):
    assert token_dtype(bins) == dtype
    assert fit_rows(rows(50), bins).encode(rows(50)).dtype == dtype


def test_expectation_drops_the_stop_column():
    rng = np.random.default_rng(0)
    discretizer = fit_rows(rows(500), 10)
    probabilities = rng.dirichlet(np.ones(11), size=(2, 3))
    expected = sum(probabilities[..., bin_] * discretizer.midpoints[bin_, -1] for bin_ in range(10))
    np.testing.assert_allclose(expectation(discretizer, probabilities, -1), expected, rtol=1e-12)
    np.testing.assert_allclose(expectation(discretizer, probabilities[..., :10], -1), expected, rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fit_refuses_values_that_are_not_finite(value):
    data = rows(20)
    data[7, 2] = value
    with pytest.raises(SeqrlError, match=f"dimension 2 contains {value} at row 7"):
        fit_rows(data, 10)


def test_encode_refuses_nan():
    with pytest.raises(SeqrlError, match="dimension 1 contains NaN"):
        fit_rows(rows(20), 10).encode([0.0, np.nan, 0.0, 0.0])


def test_no_rows_no_bins_and_unknown_strategies_are_errors():
    with pytest.raises(SeqrlError, match="no rows"):
        fit_rows(np.zeros((0, 3)), 10)
    with pytest.raises(SeqrlError, match="0 bins"):
        fit_rows(rows(5), 0)
    with pytest.raises(UsageError, match="unknown strategy 'quantil'") as error:
        fit_rows(rows(5), 10, "quantil")
    assert "quantile" in error.value.hint


@pytest.mark.parametrize("bins", [5, 100])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_choice_is_its_own_token_however_rare(strategy, bins):
    choices = np.array([0] * 500 + [1, 2, 4] + [0] * 100)
    columns = [np.linspace(0, 1, len(choices)), choices]
    discretizer = Discretizer.fit_columns(columns, bins, strategy, {1: 5})
    every = np.arange(5)
    assert discretizer.encode_column(every, 1).tolist() == every.tolist()
    assert discretizer.decode(every[:, None], start=1)[:, 0].tolist() == every.tolist()
    plain = Discretizer.fit_columns(columns[:1], bins, strategy)
    assert np.array_equal(discretizer.edges[:, :1], plain.edges)

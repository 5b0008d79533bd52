"""What holds for any data: columns, windows, bins and tokens, on examples that Hypothesis seeks out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from seqrl_cli.data.discretizer import Discretizer, token_dtype
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.columns import ReadOptions, read_columns
from seqrl_cli.data.tokens import tokenize
from seqrl_cli.data.tokens_file import load_tokens, save_tokens
from seqrl_cli.data.windows import Windows
from tests.data.naive_windows import naive_windows

repeatable = settings(derandomize=True, deadline=None, max_examples=60, database=None)

STRATEGIES = st.sampled_from(["quantile", "uniform"])
BINS = st.sampled_from([1, 2, 7, 255, 256])
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False, width=32)
TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=NUMBERS)


@st.composite
def columns(draw) -> dict[str, np.ndarray]:
    """A recording in D4RL's layout, with any flags, with or without timeouts."""
    count = draw(st.integers(1, 30))
    flags = arrays(np.bool_, count)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    recording = {
        "observations": rng.normal(size=(count, draw(st.integers(1, 3)))).astype(np.float32),
        "actions": rng.normal(size=(count, draw(st.integers(1, 3)))).astype(np.float32),
        "rewards": rng.normal(size=count).astype(np.float32),
        "terminals": draw(flags),
    }
    return recording | ({"timeouts": draw(flags)} if draw(st.booleans()) else {})


def naive_lengths(recording: dict[str, np.ndarray], limit: int | None) -> list[int]:
    """Steps of each episode, counted row by row."""
    ends = recording["terminals"] | recording.get("timeouts", np.zeros_like(recording["terminals"]))
    lengths, steps = [], 0
    for row, end in enumerate(ends):
        steps += 1
        if end or steps == limit or row == len(ends) - 1:
            lengths.append(steps)
            steps = 0
    return lengths


@repeatable
@given(columns(), st.sampled_from([None, 1, 2, 5, 100]))
def test_columns_are_cut_into_episodes_and_nothing_else_changes(recording, limit):
    episodes = read_columns(recording, "a file", ReadOptions(max_episode_steps=limit))
    assert episodes.lengths.tolist() == naive_lengths(recording, limit)
    for name in ("observations", "actions", "rewards", "terminals"):
        np.testing.assert_array_equal(getattr(episodes, name), recording[name])
    ends = episodes.offsets[1:] - 1
    assert (episodes.terminals | episodes.timeouts)[ends].all()
    assert (episodes.terminals | episodes.timeouts).sum() == len(episodes)


@repeatable
@given(columns(), st.sampled_from([np.float16, np.float32, np.float64, np.int8]), st.booleans())
def test_columns_are_read_in_any_type_and_as_columns_of_a_matrix(recording, dtype, as_matrix):
    stored = {name: array.astype(dtype) for name, array in recording.items()}
    if as_matrix:
        stored |= {name: stored[name][:, None] for name in stored if stored[name].ndim == 1}
    episodes = read_columns(stored, "a file", ReadOptions())
    np.testing.assert_array_equal(episodes.rewards, recording["rewards"].astype(dtype).astype(np.float32))
    assert episodes.terminals.tolist() == recording["terminals"].tolist()


@repeatable
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    dims=st.integers(1, 4),
    sequence_length=st.integers(1, 5),
    max_path_length=st.integers(1, 12),
    data=st.data(),
)
def test_windows_equal_the_naive_form(lengths, dims, sequence_length, max_path_length, data):
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.random.default_rng(0).integers(0, 9, (offsets[-1], dims)).astype(np.uint8)
    windows = Windows(tokens, offsets, sequence_length, 9, max_path_length, chosen)
    expected = list(naive_windows(tokens, offsets, sequence_length, 9, max_path_length, chosen))
    assert len(windows) == len(expected)
    for got, column in zip(windows.batch(range(len(windows))), zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(got, np.array(column))


@pytest.mark.slow
@repeatable
@given(TABLES, BINS, STRATEGIES)
def test_edges_are_in_order_and_span_the_data(rows, bins, strategy):
    edges = Discretizer.fit_columns(rows.T, bins, strategy).edges
    assert edges.shape == (bins + 1, rows.shape[1])
    assert (np.diff(edges, axis=0) >= 0).all()
    np.testing.assert_array_equal(edges[[0, -1]], [rows.min(axis=0), rows.max(axis=0)])


@pytest.mark.slow
@repeatable
@given(TABLES, BINS, STRATEGIES)
def test_tokens_decode_into_the_bins_of_their_values(rows, bins, strategy):
    discretizer = Discretizer.fit_columns(rows.T, bins, strategy)
    tokens = discretizer.encode(rows)
    assert tokens.dtype == token_dtype(bins) and tokens.max() < bins
    picked = (tokens.astype(int), np.arange(rows.shape[1]))
    lower, upper = discretizer.edges[:-1][picked], discretizer.edges[1:][picked]
    half_bin = (discretizer.edges[-1] - discretizer.edges[0]) / bins / 2
    nudge = np.minimum(1e-8 + 1e-5 * np.abs(rows), half_bin) if strategy == "uniform" else 0
    slack = 1e-12 * np.abs(rows)
    assert (lower <= rows + nudge + slack).all() and (rows <= upper + slack).all()
    assert (np.abs(discretizer.decode(tokens) - rows) <= upper - lower + nudge + slack).all()


@pytest.mark.slow
@repeatable
@given(TABLES, BINS, STRATEGIES, st.lists(st.floats(allow_nan=False), min_size=1, max_size=8))
def test_larger_values_never_have_smaller_tokens_and_values_outside_take_the_outer_bins(rows, bins, strategy, values):
    discretizer = Discretizer.fit_columns(rows.T, bins, strategy)
    ordered = np.sort([*values, -np.inf, np.inf])
    tokens = discretizer.encode_column(ordered, 0)
    assert (np.diff(tokens) >= 0).all()
    assert tokens[0] == 0 and tokens[-1] == bins - 1
    assert (tokens[ordered > discretizer.edges[-1, 0]] == bins - 1).all()


@pytest.mark.slow
@repeatable
@given(columns(), BINS, STRATEGIES, st.sampled_from([None, -100.0]))
def test_tokens_come_back_from_their_file(recording, bins, strategy, penalty):
    episodes: Episodes = read_columns(recording, "a file", ReadOptions())
    made = tokenize(episodes, dataset_id="any", env_id=None, bins=bins, strategy=strategy, termination_penalty=penalty)
    with tempfile.TemporaryDirectory() as folder:
        save_tokens(Path(folder) / "tokens.h5", made)
        loaded = load_tokens(Path(folder) / "tokens.h5")
    np.testing.assert_array_equal(loaded.tokens, made.tokens)
    np.testing.assert_array_equal(loaded.offsets, episodes.offsets)
    np.testing.assert_array_equal(loaded.discretizer.edges, made.discretizer.edges)
    assert (loaded.fingerprint, loaded.termination_penalty) == (made.fingerprint, penalty)

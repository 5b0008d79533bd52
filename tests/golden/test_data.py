"""The data room against the numbers of the Trajectory Transformer and of the Faster Trajectory Transformer."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.tokens import TokenizedDataset, tokenize
from seqrl_cli.data.windows import Windows
from tests.reference import expectation, join_transitions, window_starts


@pytest.fixture
def original(golden_file):
    return np.load(golden_file("tt_dataset.npz"), allow_pickle=False)


@pytest.fixture
def episodes(original) -> Episodes:
    # The original's loop runs to N - 1 and loses the file's last row.
    keys = ("observations", "actions", "rewards", "terminals", "timeouts")
    return Episodes.from_flags(*(original[f"raw_{key}"][:-1] for key in keys))


@pytest.fixture
def tokenized(original, episodes) -> TokenizedDataset:
    return tokenize(
        episodes,
        dataset_id="golden",
        env_id=None,
        bins=int(original["N"]),
        discount=float(original["discount"]),
        termination_penalty=float(original["termination_penalty"]),
    )


def test_joined_rows_and_values(original, episodes):
    joined = join_transitions(episodes, float(original["discount"]), float(original["termination_penalty"]))
    assert np.array_equal(joined[:, :-1], original["joined"][:, :-1])
    np.testing.assert_allclose(joined[:, -1], original["joined"][:, -1], rtol=1e-12, atol=1e-10)


def test_quantile_edges(original, tokenized):
    np.testing.assert_allclose(tokenized.discretizer.edges, original["thresholds"], rtol=1e-12, atol=1e-10)


def test_windows(original, tokenized):
    windows = Windows(
        tokenized.tokens,
        tokenized.offsets,
        int(original["sequence_length"]),
        tokenized.bins,
        int(original["max_path_length"]),
    )
    owner, start = window_starts(tokenized.offsets)
    # The original never samples one-step episodes; ours have a window each.
    sampled = np.diff(tokenized.offsets)[owner] > 1
    indices = np.stack([owner, start, start + windows.sequence_length], axis=1)
    assert np.array_equal(indices[sampled], original["indices"])
    inputs, targets, mask = windows.batch(np.flatnonzero(sampled))
    assert np.array_equal(inputs, original["X"])
    assert np.array_equal(targets, original["Y"])
    # Theirs is aligned to X, ours to Y: one token later.
    assert np.array_equal(mask[:, :-1], original["mask"][:, 1:])


def test_quantile_tokens_and_reconstruction(golden_file):
    original = np.load(golden_file("tt_discretizer.npz"), allow_pickle=False)
    discretizer = Discretizer(original["thresholds"], "quantile")
    assert np.array_equal(discretizer.encode(original["probe"]), original["tokens"])
    assert np.array_equal(discretizer.decode(original["tokens"]), original["reconstruction"])


def test_expected_reward_and_value(golden_file):
    original = np.load(golden_file("tt_discretizer.npz"), allow_pickle=False)
    discretizer = Discretizer(original["thresholds"], "quantile")
    reward = expectation(discretizer, original["probs"][:, 0], -2)
    value = expectation(discretizer, original["probs"][:, 1], -1)
    np.testing.assert_allclose(reward, original["reward_mean"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(value, original["value_mean"], rtol=1e-12, atol=1e-12)


def test_uniform_tokens_and_reconstruction(golden_file):
    original = np.load(golden_file("faster_tt.npz"), allow_pickle=False)
    discretizer = Discretizer(np.ascontiguousarray(original["bin_edges"].T), "uniform")
    assert np.array_equal(discretizer.encode(original["probe"]), original["tokens"])
    assert np.array_equal(discretizer.decode(original["tokens"]), original["reconstruction"])

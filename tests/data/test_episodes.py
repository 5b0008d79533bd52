"""Flat arrays and offsets against lists of episodes."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.errors import SeqrlError
from tests.data.conftest import ragged


def as_lists(episodes: Episodes) -> list[np.ndarray]:
    """One array of joined rows per episode."""
    rows = np.column_stack(
        [episodes.observations, episodes.actions, episodes.rewards, episodes.terminals, episodes.timeouts]
    )
    return [rows[begin:end] for begin, end in zip(episodes.offsets[:-1], episodes.offsets[1:], strict=True)]


def naive_cut(terminals: np.ndarray, timeouts: np.ndarray) -> list[int]:
    lengths, length = [], 0
    for ended in terminals | timeouts:
        length += 1
        if ended:
            lengths.append(length)
            length = 0
    return lengths + ([length] if length else [])


def test_cut_at_every_flag(episodes):
    assert episodes.lengths.tolist() == naive_cut(episodes.terminals, episodes.timeouts)
    ends = episodes.offsets[1:] - 1
    assert (episodes.terminals | episodes.timeouts)[ends].all()
    assert episodes.transitions == episodes.lengths.sum() == len(episodes.rewards)


def test_tail_without_flag_is_a_timeout():
    none = np.zeros(5, dtype=bool)
    terminals = np.array([0, 1, 0, 0, 0], dtype=bool)
    episodes = Episodes.from_flags(np.zeros((5, 2)), np.zeros((5, 1)), np.zeros(5), terminals, none)
    assert episodes.lengths.tolist() == [2, 3]
    assert episodes.timeouts.tolist() == [False, False, False, False, True]
    assert not none.any(), "the caller's array is not written to"


def test_types_are_normalized():
    episodes = Episodes.from_flags(np.zeros((3, 2), np.float64), np.zeros((3, 1), int), [1, 2, 3], [0, 0, 1], [0, 0, 0])
    assert episodes.observations.dtype == episodes.actions.dtype == episodes.rewards.dtype == np.float32
    assert episodes.terminals.dtype == bool
    assert episodes.offsets.dtype == np.int64


def test_no_transitions_is_an_error():
    with pytest.raises(SeqrlError, match="no transitions"):
        Episodes.from_flags(np.zeros((0, 2)), np.zeros((0, 1)), [], [], [])


def test_returns(episodes):
    expected = [episode[:, 5].astype(np.float64).sum() for episode in as_lists(episodes)]
    np.testing.assert_allclose(episodes.returns, expected, rtol=1e-12, atol=1e-12)


def test_select_in_any_order_with_repeats(episodes):
    indices = np.random.default_rng(0).integers(0, len(episodes), 10)
    lists = as_lists(episodes)
    for got, index in zip(as_lists(episodes.select(indices)), indices, strict=True):
        np.testing.assert_array_equal(got, lists[index])


def test_concatenate_undoes_a_split(episodes):
    half = len(episodes) // 2
    parts = [episodes.select(range(half)), episodes.select(range(half, len(episodes)))]
    joined = Episodes.concatenate(parts)
    np.testing.assert_array_equal(joined.offsets, episodes.offsets)
    np.testing.assert_array_equal(joined.observations, episodes.observations)


def test_concatenate_refuses_different_sizes():
    with pytest.raises(SeqrlError, match=r"sizes \(2, 2\), but part 0 has sizes \(3, 2\)"):
        Episodes.concatenate([ragged(0), ragged(0, observation_dim=2)])

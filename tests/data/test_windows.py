"""Windows gathered a batch at a time against windows built token by token."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.windows import Windows, return_weights, split_episodes
from tests.data.naive_windows import naive_windows

BINS = 9


def random_tokens(lengths: list[int], dims: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.random.default_rng(seed).integers(0, BINS, (offsets[-1], dims)).astype(np.uint8)
    return tokens, offsets


@pytest.mark.parametrize("sequence_length", [1, 2, 5])
@pytest.mark.parametrize("episodes", [None, [4, 0], [3]])
@pytest.mark.parametrize("max_path_length", [6, 8, 1000])
def test_equal_to_naive(sequence_length, episodes, max_path_length):
    tokens, offsets = random_tokens([1, 4, 2, 1, 7, 8, 1])
    windows = Windows(tokens, offsets, sequence_length, BINS, max_path_length, episodes)
    expected = list(naive_windows(tokens, offsets, sequence_length, BINS, max_path_length, episodes or range(7)))
    assert len(windows) == len(expected)
    order = np.random.default_rng(0).permutation(len(windows))
    for got, column in zip(windows.batch(order), zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(got, np.array(column)[order])


def test_types_and_shapes():
    windows = Windows(*random_tokens([5, 5]), 4, BINS)
    inputs, targets, mask = windows.batch([0, 3])
    assert inputs.shape == targets.shape == mask.shape == (2, windows.block_size) == (2, 11)
    assert inputs.dtype == targets.dtype == np.int64
    assert mask.dtype == bool


def test_one_step_episodes_have_one_window():
    tokens, offsets = random_tokens([1])
    windows = Windows(tokens, offsets, 2, BINS)
    assert len(windows) == 1
    inputs, targets, mask = windows.batch([0])
    assert inputs[0].tolist() == [*tokens[0], BINS, BINS]
    assert targets[0].tolist() == [*tokens[0, 1:], BINS, BINS, BINS]
    assert mask.all()


def test_weights_decide_how_often_windows_are_drawn():
    tokens, offsets = random_tokens([31, 61, 11, 2])
    windows = Windows(tokens, offsets, 2, BINS, weights=np.array([1.0, 0.25, 4.0, 0.001]))
    assert len(windows) == 30 + 60 + 10 + 1
    rows = {row.tobytes(): index for index, row in enumerate(Windows(tokens, offsets, 2, BINS).batch(range(101))[0])}
    drawn = np.bincount([rows[row.tobytes()] for row in windows.batch(np.arange(101))[0]], minlength=101)
    shares = 101 * np.array([1.0, 0.25, 4.0]) / (30 + 60 * 0.25 + 10 * 4.0 + 0.001)
    for part, share in zip(np.split(drawn, [30, 90, 100]), shares, strict=False):
        assert part.min() >= np.floor(share) and part.max() <= np.ceil(share)
    assert windows.real_targets(np.arange(101)) == drawn @ np.array([5] * 101)


def test_equal_weights_draw_every_window_once():
    tokens, offsets = random_tokens([5, 1, 9, 40])
    alike = return_weights(np.array([3.0, 3.0, 3.0, 3.0]), np.diff(offsets), 2.0)
    order = np.random.default_rng(0).permutation(4 + 1 + 8 + 39)
    for mine, plain in zip(
        Windows(tokens, offsets, 3, BINS, weights=alike).batch(order),
        Windows(tokens, offsets, 3, BINS).batch(order),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, plain)


def test_better_episodes_weigh_more():
    returns, lengths = np.array([10.0, -5.0, 10.0, 20.0]), np.array([10, 40, 30, 20])
    assert return_weights(returns, lengths, 0.0) is None
    weights = return_weights(returns, lengths, 2.0)
    np.testing.assert_allclose(np.sqrt(weights), [0.6, 0.2, 0.6, 0.9])  # worse steps, and half of the equal ones


def test_windows_never_reach_into_the_next_episode():
    tokens, offsets = random_tokens([3, 3])
    inputs, _, _ = Windows(tokens, offsets, 4, BINS).batch([1])
    assert inputs[0].tolist() == [*tokens[1:3].ravel(), *[BINS] * 5]


def test_windows_come_in_the_order_of_the_given_episodes():
    tokens, offsets = random_tokens([3, 1, 4])
    inputs, _, _ = Windows(tokens, offsets, 2, BINS, episodes=[2, 1]).batch(range(4))
    rows = offsets[[2, 2, 2, 1]] + [0, 1, 2, 0]
    assert inputs[:, : tokens.shape[1]].tolist() == tokens[rows].tolist()


def test_nothing_to_gather():
    assert Windows(*random_tokens([3]), 2, BINS).batch([])[0].shape == (0, 5)
    assert len(Windows(*random_tokens([3]), 2, BINS, episodes=[])) == 0


@pytest.mark.parametrize("count", [2, 3, 10, 101])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_split_leaves_something_on_both_sides(count, share):
    train, held_out = split_episodes(count, share, np.random.default_rng(0))
    assert len(train) >= 1
    assert len(held_out) >= 1
    assert sorted([*train, *held_out]) == list(range(count))
    assert abs(len(held_out) - share * count) <= 1


def test_split_of_one_episode_or_without_a_share_holds_nothing_out():
    for count, share in [(1, 0.5), (5, 0.0)]:
        train, held_out = split_episodes(count, share, np.random.default_rng(0))
        assert train.tolist() == list(range(count))
        assert held_out.tolist() == []


def test_split_follows_its_generator():
    first, second, other = (split_episodes(50, 0.2, np.random.default_rng(seed))[1].tolist() for seed in (1, 1, 2))
    assert first == second != other

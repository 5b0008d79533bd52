"""Windows gathered a batch at a time against windows built token by token."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.windows import Windows, split_episodes
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

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.reports.dataset_summary import histogram_lines, summarize_dataset, summary_rows


def ragged_episodes():
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(6, 3))
    observations[:, 1] = 4.0
    actions = rng.uniform(-1, 1, size=(6, 2))
    observations[5], actions[5] = observations[0], actions[0]
    terminals = np.array([0, 0, 1, 0, 0, 0])
    timeouts = np.array([0, 0, 0, 0, 0, 1])
    return Episodes.from_flags(observations, actions, np.arange(6.0), terminals, timeouts)


def test_summary_counts_what_is_there():
    summary = summarize_dataset(ragged_episodes(), bins=3)
    assert (summary.episodes, summary.transitions) == (2, 6)
    assert (summary.terminals, summary.timeouts) == (1, 1)
    assert (summary.lengths.least, summary.lengths.greatest) == (3, 3)
    assert (summary.returns.least, summary.returns.greatest) == (3.0, 12.0)
    assert summary.constant_dims == (1,)
    assert summary.duplicate_rows == 1
    assert summary.histogram == (1, 0, 1)
    assert dict(summary_rows(summary))["ended by"] == "terminal 1, timeout 1"


def test_duplicates_equal_those_of_comparing_rows():
    rng = np.random.default_rng(1)
    count = 3000
    flags = np.arange(count) % 10 == 9
    observations = rng.integers(0, 3, size=(count, 4)) * rng.choice([-1.0, 1.0], size=(count, 1))
    episodes = Episodes.from_flags(
        observations, rng.integers(0, 3, size=(count, 2)), np.zeros(count), flags, ~flags & False
    )
    rows = np.concatenate([episodes.observations, episodes.actions], axis=1)
    assert summarize_dataset(episodes).duplicate_rows == count - len(np.unique(rows, axis=0))


def test_what_is_not_finite_is_counted_and_placed():
    episodes = ragged_episodes()
    episodes.observations[2, 1] = np.nan
    episodes.observations[4, 0] = np.inf
    episodes.rewards[:] = np.nan
    summary = summarize_dataset(episodes)
    assert [(gap.column, gap.count, gap.row, gap.dim) for gap in summary.not_finite] == [
        ("observations", 2, 2, 1),
        ("rewards", 6, 0, None),
    ]
    assert (summary.rewards.least, summary.returns.mean, sum(summary.histogram)) == (None, None, 0)
    assert np.isfinite([summary.observations.least, summary.observations.greatest]).all()
    assert "observations 2, first at row 2, column 1" in dict(summary_rows(summary))["NaN or infinite"]
    assert histogram_lines(summary.histogram, summary.edges)


def test_histogram_bars_are_proportional():
    lines = histogram_lines((4, 1, 0), (0.0, 1.0, 2.0, 3.0), width=8)
    assert [line.count("█") for line in lines] == [8, 2, 0]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["4", "1", "0"]


@pytest.mark.parametrize("reward", [0.0, 1e16, 5e37, -1e-9])
def test_constant_returns_of_any_size_have_a_histogram(reward):
    episodes = ragged_episodes()
    episodes.rewards[:] = reward
    summary = summarize_dataset(episodes)
    assert sum(summary.histogram) == max(summary.histogram) == 2
    assert summary.edges[0] < episodes.returns[0] < summary.edges[-1]


def test_small_numbers_keep_their_digits():
    episodes = ragged_episodes()
    episodes.rewards[:] *= 1e-4
    summary = summarize_dataset(episodes, bins=3)
    assert dict(summary_rows(summary))["returns"] == "0.0003 … 0.0012, mean 0.00075"
    assert [line.split()[0] for line in histogram_lines(summary.histogram, summary.edges)] == [
        "0.0003",
        "0.0006",
        "0.0009",
    ]

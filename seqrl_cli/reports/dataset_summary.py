"""What a dataset contains: sizes, lengths, returns, ranges, flags, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrl_cli.console.text import amount
from seqrl_cli.data.episodes import Episodes

_BARS = " ▏▎▍▌▋▊▉█"
_CHUNK_ROWS = 2**16
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: odd, its bits have no pattern


@dataclass(frozen=True)
class ValueRange:
    """Minimum, mean and maximum of some numbers; None if none of them is finite."""

    least: float | None
    mean: float | None
    greatest: float | None

    @classmethod
    def of(cls, values: np.ndarray) -> ValueRange:
        """The range of the finite numbers in an array."""
        values = values if values.dtype.kind == "f" else values.astype(np.float64)
        finite = np.isfinite(values)
        count = int(np.count_nonzero(finite))
        if not count:
            return cls(None, None, None)
        least = float(np.min(values, where=finite, initial=np.inf))
        mean = float(np.sum(values, where=finite, dtype=np.float64)) / count
        greatest = float(np.max(values, where=finite, initial=-np.inf))
        return cls(least, mean, greatest)


@dataclass(frozen=True)
class NonFinite:
    """How many numbers of one array are not finite, and where the first one is."""

    column: str
    count: int
    row: int
    dim: int | None

    def text(self) -> str:
        """The same as text."""
        position = f"row {self.row}" if self.dim is None else f"row {self.row}, column {self.dim}"
        return f"{self.column} {self.count:,}, first at {position}"


@dataclass(frozen=True)
class DatasetSummary:
    """What a dataset contains, in numbers.

    Attributes:
        episodes, transitions: numbers of episodes and transitions.
        observation_dim, action_dim: sizes of an observation and an action.
        terminals: number of episodes that the environment ended.
        timeouts: number of episodes that the step limit ended.
        lengths, returns: ranges over episodes.
        observations, actions, rewards: ranges over all entries.
        observation_ranges, action_ranges: minimum and maximum of each dimension.
        constant_dims: observation dimensions that never change.
        duplicate_rows: transitions whose observation and action occur earlier in the dataset.
        not_finite: NaN and infinities, by array.
        histogram: counts of episodes in equal bins over the range of returns.
        edges: edges of these bins, one more than bins.
    """

    episodes: int
    transitions: int
    observation_dim: int
    action_dim: int
    terminals: int
    timeouts: int
    lengths: ValueRange
    returns: ValueRange
    observations: ValueRange
    actions: ValueRange
    rewards: ValueRange
    observation_ranges: tuple[tuple[float | None, float | None], ...]
    action_ranges: tuple[tuple[float | None, float | None], ...]
    constant_dims: tuple[int, ...]
    duplicate_rows: int
    not_finite: tuple[NonFinite, ...]
    histogram: tuple[int, ...]
    edges: tuple[float, ...]


def summarize_dataset(episodes: Episodes, bins: int = 12) -> DatasetSummary:
    """Summarize a dataset.

    Args:
        episodes: the data.
        bins: number of bins of the histogram of returns.
    """
    returns = episodes.returns
    counts, edges = _histogram(returns[np.isfinite(returns)], bins)
    observations = _ranges(episodes.observations)
    constant = [dim for dim, (least, greatest) in enumerate(observations) if least is not None and least == greatest]
    return DatasetSummary(
        episodes=len(episodes),
        transitions=episodes.transitions,
        observation_dim=episodes.observation_dim,
        action_dim=episodes.action_dim,
        terminals=int(episodes.terminals.sum()),
        timeouts=int((episodes.timeouts & ~episodes.terminals).sum()),
        lengths=ValueRange.of(episodes.lengths),
        returns=ValueRange.of(returns),
        observations=ValueRange.of(episodes.observations),
        actions=ValueRange.of(episodes.actions),
        rewards=ValueRange.of(episodes.rewards),
        observation_ranges=observations,
        action_ranges=_ranges(episodes.actions),
        constant_dims=tuple(constant),
        duplicate_rows=_duplicates(episodes),
        not_finite=tuple(_not_finite(episodes)),
        histogram=tuple(int(count) for count in counts),
        edges=tuple(float(edge) for edge in edges),
    )


def _histogram(values: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts in equal bins over the range of the values, which may be a single value of any size."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    least = max(1.0 if low == high else 0.0, 1e-12 * bins * max(abs(low), abs(high)))
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    return np.histogram(values, bins, (low, high))


def _ranges(values: np.ndarray) -> tuple[tuple[float | None, float | None], ...]:
    columns = (ValueRange.of(column) for column in values.reshape(len(values), -1).T)
    return tuple((column.least, column.greatest) for column in columns)


def _not_finite(episodes: Episodes) -> Iterator[NonFinite]:
    columns = {"observations": episodes.observations, "actions": episodes.actions, "rewards": episodes.rewards}
    for name, values in columns.items():
        bad = ~np.isfinite(values)
        if bad.any():
            row, *dim = (int(part) for part in np.unravel_index(int(bad.argmax()), values.shape))
            yield NonFinite(name, int(np.count_nonzero(bad)), row, dim[0] if dim else None)


def _duplicates(episodes: Episodes) -> int:
    """Count rows whose observation and action equal those of an earlier row bit by bit.

    Rows are compared by a hash of 64 bits, because hashes are sorted in a second and rows in minutes. Among two million
    rows, the probability that two different rows count as equal is about one in ten million.
    """
    hashes = np.zeros(episodes.transitions, np.uint64)
    for first in range(0, episodes.transitions, _CHUNK_ROWS):
        rows = slice(first, first + _CHUNK_ROWS)
        for values in (episodes.observations, episodes.actions):
            columns = values[rows].reshape(len(values[rows]), -1).T.astype(np.float32)
            for bits in (columns + np.float32(0)).view(np.uint32):  # adding 0 turns -0 into 0
                hashes[rows] = (hashes[rows] ^ bits) * _MIX
                hashes[rows] ^= hashes[rows] >> np.uint64(32)
    hashes.sort()
    return int(np.count_nonzero(hashes[1:] == hashes[:-1]))


def histogram_lines(counts: Sequence[int], edges: Sequence[float], width: int = 40) -> list[str]:
    """A histogram as text, one line per bin: its range, a bar in eighths of a cell, its count."""
    most = max(max(counts), 1)
    is_usual = edges[1] - edges[0] >= 0.1 and max(abs(edges[0]), abs(edges[-1])) < 1e9
    digits = ",.1f" if is_usual else ".4g"
    lines = []
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        eighths = round(8 * width * count / most)
        bar = "█" * (eighths // 8) + (_BARS[eighths % 8] if eighths % 8 else "")
        lines.append(f"{format(low, digits):>10} … {format(high, digits):>10}  {bar} {count:,}")
    return lines


def summary_rows(summary: DatasetSummary) -> list[tuple[str, Any]]:
    """The summary as pairs of label and text, for a plain table."""

    def spread(values: ValueRange, digits: int = 2) -> str:
        if values.least is None or values.mean is None or values.greatest is None:
            return "no finite number"
        least, greatest, mean = (amount(value, digits) for value in (values.least, values.greatest, values.mean))
        return f"{least} … {greatest}, mean {mean}"

    return [
        ("episodes", f"{summary.episodes:,}"),
        ("transitions", f"{summary.transitions:,}"),
        ("dimensions", f"observation {summary.observation_dim}, action {summary.action_dim}"),
        ("ended by", f"terminal {summary.terminals:,}, timeout {summary.timeouts:,}"),
        ("lengths", spread(summary.lengths, 0)),
        ("returns", spread(summary.returns, 1)),
        ("observations", spread(summary.observations)),
        ("actions", spread(summary.actions)),
        ("rewards", spread(summary.rewards)),
        ("constant dimensions", ", ".join(map(str, summary.constant_dims)) or "none"),
        ("duplicate transitions", f"{summary.duplicate_rows:,}"),
        ("NaN or infinite", "; ".join(found.text() for found in summary.not_finite) or "none"),
    ]

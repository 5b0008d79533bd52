"""What is in a dataset: sizes, lengths, returns, ranges, flags, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrl_cli.data.episodes import Episodes

_BARS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Spread:
    """Least, mean and greatest of some numbers."""

    least: float
    mean: float
    greatest: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Of any non-empty array."""
        return cls(float(values.min()), float(values.mean()), float(values.max()))


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset at a glance.

    Attributes:
        episodes, transitions: counts.
        observation_dim, action_dim: sizes.
        terminals: episodes that the environment ended; ``timeouts`` those that the clock did.
        lengths, returns: of the episodes.
        observations, actions, rewards: ranges over all entries.
        constant_dims: observation dimensions that never change.
        duplicate_rows: transitions whose observation and action occurred before.
        histogram: counts of episodes in equal slices of the returns' range; ``edges`` has one more entry.
    """

    episodes: int
    transitions: int
    observation_dim: int
    action_dim: int
    terminals: int
    timeouts: int
    lengths: Spread
    returns: Spread
    observations: Spread
    actions: Spread
    rewards: Spread
    constant_dims: tuple[int, ...]
    duplicate_rows: int
    histogram: tuple[int, ...]
    edges: tuple[float, ...]


def summarize_dataset(episodes: Episodes, slices: int = 12) -> DatasetSummary:
    """Sum a dataset up.

    Args:
        episodes: the data.
        slices: bars of the histogram of returns.
    """
    counts, edges = np.histogram(episodes.returns, bins=slices)
    pairs = np.ascontiguousarray(np.concatenate([episodes.observations, episodes.actions], axis=1))
    rows = pairs.view([("", pairs.dtype)] * pairs.shape[1]).ravel()
    still = np.flatnonzero(np.ptp(episodes.observations, axis=0) == 0)
    return DatasetSummary(
        episodes=len(episodes),
        transitions=episodes.transitions,
        observation_dim=episodes.observation_dim,
        action_dim=episodes.action_dim,
        terminals=int(episodes.terminals.sum()),
        timeouts=int((episodes.timeouts & ~episodes.terminals).sum()),
        lengths=Spread.of(episodes.lengths),
        returns=Spread.of(episodes.returns),
        observations=Spread.of(episodes.observations),
        actions=Spread.of(episodes.actions),
        rewards=Spread.of(episodes.rewards),
        constant_dims=tuple(int(dim) for dim in still),
        duplicate_rows=len(rows) - len(np.unique(rows)),
        histogram=tuple(int(count) for count in counts),
        edges=tuple(float(edge) for edge in edges),
    )


def histogram_lines(counts: Sequence[int], edges: Sequence[float], width: int = 40) -> list[str]:
    """A histogram as text, one line a slice: range, bar in eighths of a cell, count."""
    most = max(counts)
    lines = []
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        eighths = round(8 * width * count / most)
        bar = "█" * (eighths // 8) + (_BARS[eighths % 8] if eighths % 8 else "")
        lines.append(f"{low:>10,.1f} … {high:>10,.1f}  {bar} {count:,}")
    return lines


def summary_rows(summary: DatasetSummary) -> list[tuple[str, Any]]:
    """The summary as label and text, for a plain table."""

    def spread(values: Spread, digits: int = 2) -> str:
        return f"{values.least:,.{digits}f} … {values.greatest:,.{digits}f}, mean {values.mean:,.{digits}f}"

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
        ("constant observation dimensions", ", ".join(map(str, summary.constant_dims)) or "none"),
        ("duplicate transitions", f"{summary.duplicate_rows:,}"),
    ]

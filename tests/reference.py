"""Naive forms that the package's faster ones are tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.discretizer import Discretizer, Strategy
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.targets import transition_columns


def join_transitions(episodes: Episodes, discount: float, termination_penalty: float | None) -> NDArray[np.float64]:
    """Rows ``[observation, action, reward, value]``, ``(transitions, observation_dim + action_dim + 2)``."""
    return np.stack(list(transition_columns(episodes, discount, termination_penalty)), axis=1, dtype=np.float64)


def fit_rows(rows: NDArray[np.floating], bins: int, strategy: Strategy = "quantile") -> Discretizer:
    """A discretizer fitted to rows ``(count, dims)``."""
    return Discretizer.fit_columns(rows.T, bins, strategy)


def expectation(discretizer: Discretizer, probabilities: NDArray[np.floating], dim: int) -> NDArray[np.float64]:
    """Mean value ``(...)`` of distributions ``(..., bins)`` or ``(..., bins + 1)`` over one dimension's bins.

    The column for the stop token is dropped and the rest is not renormalized, as in the Trajectory Transformer.
    """
    return np.asarray(probabilities[..., : discretizer.bins] @ discretizer.midpoints[:, dim])


def array_bytes(episodes: Episodes) -> int:
    """Bytes of the arrays with one row per transition."""
    columns = (episodes.observations, episodes.actions, episodes.rewards, episodes.terminals, episodes.timeouts)
    return sum(column.nbytes for column in columns)


def window_starts(offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Episode and first step of every window, both ``(windows,)``."""
    starts = [(episode, step) for episode, length in enumerate(np.diff(offsets)) for step in range(max(length - 1, 1))]
    episodes, steps = np.array(starts).T
    return episodes, steps

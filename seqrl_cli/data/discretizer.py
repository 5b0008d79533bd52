"""Bins: each dimension of a transition becomes one token, by the bin edges of that dimension.

Two strategies, each by the rule of the project that introduced it, so that tokens equal that project's:

- ``quantile`` (Trajectory Transformer): edges are every ``ceil(rows / bins)``-th sorted value, and the maximum.
- ``uniform`` (Faster Trajectory Transformer): edges divide the range evenly; values are nudged up by a relative 1e-5
  before they are compared, so that a value printed as an edge falls above it.

In both, the token is the index of the largest edge not above the value, clipped to ``[0, bins - 1]``, and decodes to
the middle of its bin. Token ``bins`` is free for "the episode has ended".

A dimension of discrete choices has a bin of width 1 around each choice, in both strategies, so that the token of a
choice is the choice itself and decodes to it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrl_cli.errors import SeqrlError, unknown

Strategy = Literal["quantile", "uniform"]

_UNIFORM_ATOL, _UNIFORM_RTOL = 1e-8, 1e-5


def token_dtype(bins: int) -> np.dtype[Any]:
    """The smallest unsigned integer that holds every token, the stop token ``bins`` included."""
    return np.min_scalar_type(bins)


@dataclass(frozen=True)
class Discretizer:
    """Bin edges of every dimension of ``[observation, action, reward, value]``.

    Attributes:
        edges: ``(bins + 1, dims)`` float64, non-decreasing along the first axis.
        strategy: rule that placed the edges; it decides how a value close to an edge is encoded.
    """

    edges: NDArray[np.float64]
    strategy: Strategy

    def __post_init__(self) -> None:
        assert self.edges.ndim == 2 and len(self.edges) >= 2 and self.edges.dtype == np.float64
        assert self.strategy in get_args(Strategy)

    @property
    def bins(self) -> int:
        """Bins of each dimension; also the stop token."""
        return len(self.edges) - 1

    @property
    def dims(self) -> int:
        """Dimensions of a transition: tokens per transition."""
        return int(self.edges.shape[1])

    @cached_property
    def midpoints(self) -> NDArray[np.float64]:
        """What each token decodes to, ``(bins, dims)``."""
        return (self.edges[:-1] + self.edges[1:]) / 2.0

    @classmethod
    def fit_columns(
        cls,
        columns: Iterable[NDArray[Any]],
        bins: int,
        strategy: Strategy = "quantile",
        choices: Mapping[int, int] | None = None,
    ) -> Discretizer:
        """Place the edges by data that comes one dimension at a time.

        Args:
            columns: one array ``(count,)`` per dimension.
            bins: bins per dimension.
            strategy: ``quantile`` or ``uniform``.
            choices: the number of choices of each discrete dimension, at most ``bins``.

        Raises:
            SeqrlError: unknown strategy, fewer than one bin, no rows, or values that are not finite.
        """
        if strategy not in get_args(Strategy):
            raise unknown("strategy", strategy, get_args(Strategy))
        if bins < 1:
            raise SeqrlError(f"a dimension cannot have {bins} bins", "use 2 or more; the papers use 100")
        place = _quantile_edges if strategy == "quantile" else _uniform_edges
        discrete = choices or {}
        edges = [
            _choice_edges(discrete[dim], bins) if dim in discrete else place(_finite(column, dim), bins)
            for dim, column in enumerate(columns)
        ]
        return cls(np.stack(edges, axis=1), strategy)

    def encode(self, rows: ArrayLike, start: int = 0) -> NDArray[np.unsignedinteger]:
        """Tokens of values; values outside the edges fall into the first or last bin.

        Args:
            rows: ``(..., count)`` values of dimensions ``start`` to ``start + count - 1``.
            start: first dimension given, for encoding a part of a transition.

        Returns:
            Tokens of the same shape, in the smallest unsigned type that also holds the stop token.

        Raises:
            SeqrlError: a value is NaN.
        """
        values = np.asarray(rows)
        tokens = np.empty(values.shape, dtype=token_dtype(self.bins))
        for index in range(values.shape[-1]):
            tokens[..., index] = self.encode_column(values[..., index], start + index)
        return tokens

    def encode_column(self, column: NDArray[np.floating], dim: int) -> NDArray[np.intp]:
        """Tokens of the values ``(...)`` of one dimension.

        Raises:
            SeqrlError: a value is NaN.
        """
        edges = self.edges[:, dim]
        values = column.astype(np.float64)
        if np.isnan(values).any():
            raise SeqrlError(f"dimension {dim} contains NaN, which has no token", "remove or repair those rows")
        if self.strategy == "uniform":
            values += _uniform_nudge(values, edges)
        # Only inner edges are searched, so values outside fall into the outer bins without clipping.
        return np.searchsorted(edges[1:-1], values, side="right")

    def decode(self, tokens: ArrayLike, start: int = 0) -> NDArray[np.float64]:
        """The middle of each token's bin; the stop token decodes as the last bin.

        Args:
            tokens: ``(..., count)`` tokens of dimensions ``start`` to ``start + count - 1``.
            start: first dimension given.

        Returns:
            Values of the same shape.
        """
        bins = np.minimum(np.asarray(tokens), self.bins - 1)
        values: NDArray[np.float64] = self.midpoints[bins, np.arange(start, start + bins.shape[-1])]
        return values


def _finite(column: NDArray[np.floating], dim: int) -> NDArray[np.floating]:
    if not len(column):
        raise SeqrlError("there are no rows to fit bins to", "use a dataset with at least one transition")
    bad = ~np.isfinite(column)
    if bad.any():
        row = int(bad.argmax())
        raise SeqrlError(f"dimension {dim} contains {column[row]} at row {row}", "remove or repair those rows")
    return column


def _quantile_edges(column: NDArray[np.floating], bins: int) -> NDArray[np.float64]:
    """``bins + 1`` edges with about equal numbers of rows between them; short data repeats its maximum."""
    ordered = np.sort(column)
    rows_per_bin = -(-len(ordered) // bins)
    picked = ordered[::rows_per_bin]
    edges = np.full(bins + 1, ordered[-1], dtype=np.float64)
    edges[: len(picked)] = picked
    return edges


def _choice_edges(choices: int, bins: int) -> NDArray[np.float64]:
    """``bins + 1`` edges with the choices halfway between them; the bins that are left are empty."""
    assert choices <= bins
    return np.minimum(np.arange(bins + 1), choices) - 0.5


def _uniform_edges(column: NDArray[np.floating], bins: int) -> NDArray[np.float64]:
    return np.linspace(float(column.min()), float(column.max()), bins + 1)


def _uniform_nudge(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far values move up before they are compared: never more than half a bin, else offsets would shift tokens."""
    half_bin = float(edges[-1] - edges[0]) / (len(edges) - 1) / 2.0
    return np.fmin(_UNIFORM_ATOL + _UNIFORM_RTOL * np.abs(values), half_bin)

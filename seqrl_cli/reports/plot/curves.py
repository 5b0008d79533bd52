"""What figures show, as plain data: panels of lines with bands, or of rows of points with their means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqrl_cli.reports.statistics import mean_band, t_half_width

MAX_POINTS = 500
"""The most points of a line; more cannot be seen."""


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        label: name of the line.
        x, y: the same number of values; NaN leaves a gap.
        low, high: 95 % interval of ``y``; None for a single curve.
        count: how many curves ``y`` is the mean of.
        colour: index of the colour; lines of one model share it.
        dash: index of the line style.
        faint: whether it is drawn thin and without its name, because it accompanies another line.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    count: int = 1
    colour: int = 0
    dash: int = 0
    faint: bool = False


@dataclass(frozen=True)
class PointsRow:
    """One row of points, each a single result.

    Attributes:
        label: name of the row.
        values: the results.
        mean: mean of the results.
        interval: 95 % interval of the mean; None when unknown.
        colour: index of the colour.
    """

    label: str
    values: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None = None
    colour: int = 0


@dataclass(frozen=True)
class HeatMap:
    """A matrix.

    Attributes:
        rows: names of the rows, the first at the top.
        columns: names of the columns.
        values: the values by row.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    Attributes:
        kind: the kind of plot, in one word.
        title: what it shows.
        x_label, y_label: labels of the axes, with units.
        series: the panel's lines; empty if it has ``dots``.
        dots: rows of points along the x axis; empty if it has ``series``.
        logarithmic: whether both axes are, for lines over powers of two.
        small: panels of one task each, drawn small in a grid instead of ``series`` or ``dots``.
        x_logarithmic: whether the x axis alone is, for lines over values that differ by factors.
        x_names: names of x = 0, 1, 2, …, for lines over values that are no numbers.
        heat: a matrix instead of ``series`` or ``dots``.
        bars: rows that are drawn as vertical bars instead.
    """

    kind: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...] = ()
    dots: tuple[PointsRow, ...] = ()
    logarithmic: bool = False
    small: tuple[Panel, ...] = ()
    heat: HeatMap | None = None
    x_logarithmic: bool = False
    x_names: tuple[str, ...] = ()
    bars: tuple[PointsRow, ...] = ()

    @property
    def labels(self) -> list[str]:
        """The names of all lines and rows, each once."""
        own = [each.label for each in self.series] + [each.label for each in (*self.dots, *self.bars)]
        return list(dict.fromkeys([*own, *(label for panel in self.small for label in panel.labels)]))


@dataclass(frozen=True)
class Mean:
    """The mean of curves at the x that all of them share, with a 95 % interval for two or more curves."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    count: int


def mean_curve(curves: Sequence[Sequence[tuple[float, float]]]) -> Mean:
    """Average curves, each a list of (x, y), at the x they share; so the mean ends where the shortest ends."""
    by_x = [dict(curve) for curve in curves]
    shared = sorted(set(by_x[0]).intersection(*by_x[1:]))
    return _with_interval(shared, np.array([[curve[x] for x in shared] for curve in by_x], dtype=np.float64))


def mean_of_running_sums(rewards: Sequence[np.ndarray], runs: Sequence[str], rng: np.random.Generator) -> Mean:
    """Average the return so far, with a bootstrap interval; an episode that has ended keeps its return.

    Args:
        rewards: rewards of each episode, (steps,).
        runs: the run behind each episode.
        rng: draws the bootstrap's resamples.
    """
    longest = max(len(each) for each in rewards)
    sums = [np.concatenate([[0.0], np.cumsum(each, dtype=np.float64)]) for each in rewards]
    whole = np.stack([np.pad(each, (0, longest + 1 - len(each)), mode="edge") for each in sums])
    steps = np.unique(np.linspace(0, longest, min(MAX_POINTS, longest + 1)).round().astype(int))
    values = whole[:, steps]
    return _with_interval(steps.tolist(), values, mean_band(values, runs, rng) if len(values) > 1 else None)


def _with_interval(
    x: Sequence[float], values: np.ndarray, interval: tuple[np.ndarray, np.ndarray] | None = None
) -> Mean:
    """The mean of ``values`` (curves, x) with an interval: Student's unless another is given."""
    y = values.mean(axis=0)
    if len(values) < 2:
        return Mean(tuple(x), tuple(y.tolist()), None, None, 1)
    half = t_half_width(values)
    low, high = interval or (y - half, y + half)
    return Mean(tuple(x), tuple(y.tolist()), tuple(low.tolist()), tuple(high.tolist()), len(values))

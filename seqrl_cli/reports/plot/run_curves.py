"""The mean curve of a method over its seeds, with the label and colour of its line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from seqrl_cli.reports.plot.curves import Mean, Series, mean_curve
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class PlottedRun:
    """A run with what a plot shows of it.

    Attributes:
        folder: the run's folder.
        record: the run's record.
        episodes: the episodes that were planned with it.
        method: name of the method that the run is a seed of.
        colour: index of the method's colour.
        axes: the run's place on the axes of its sweep, by configuration key; empty without a sweep.
    """

    folder: RunFolder
    record: RunRecord
    episodes: tuple[EpisodeResult, ...]
    method: str = ""
    colour: int = 0
    axes: Mapping[str, str] = field(default_factory=dict)

    @property
    def arch(self) -> str:
        """The architecture, and ``online`` if the run was fine-tuned."""
        return f"{self.record.arch} online" if self.record.parent else self.record.arch


def group_by_method(runs: Sequence[PlottedRun]) -> list[list[PlottedRun]]:
    """Group the runs that are seeds of one method."""
    ordered = sorted(runs, key=lambda run: run.colour)
    return [list(group) for _, group in groupby(ordered, key=lambda run: run.colour)]


def mean_of_seeds(
    group: Sequence[PlottedRun], read: Callable[[PlottedRun], Curve], *, interpolate: bool = False
) -> Mean | None:
    """The mean curve over a method's seeds; None if no run has a curve.

    Runs of one seed are not independent: they are averaged first and count as one.

    Args:
        group: runs of one method.
        read: reads a run's curve; empty curves are left out.
        interpolate: whether the curves have points at different x, so that they must be interpolated.
    """
    by_seed: dict[int, list[Curve]] = defaultdict(list)
    for run in group:
        if curve := read(run):
            by_seed[run.record.seed].append(curve)
    if not by_seed:
        return None
    seeds = [curves[0] if len(curves) == 1 else _average(curves, interpolate) for curves in by_seed.values()]
    return mean_curve(on_one_grid(seeds) if interpolate else seeds)


def _average(curves: list[Curve], interpolate: bool) -> Curve:
    mean = mean_curve(on_one_grid(curves) if interpolate else curves)
    return list(zip(mean.x, mean.y, strict=True))


def on_one_grid(curves: list[Curve]) -> list[Curve]:
    """Interpolate curves at the x of all of them; each ends where the shortest ends.

    Their x differ because iterations end with episodes, whose lengths differ.
    """
    end = min(curve[-1][0] for curve in curves)
    grid = sorted({x for curve in curves for x, _ in curve if x <= end})
    gridded = []
    for curve in curves:
        x, y = np.array(curve, dtype=np.float64).T
        gridded.append(list(zip(grid, np.interp(grid, x, y).tolist(), strict=True)))
    return gridded


def legend_label(runs: Sequence[PlottedRun]) -> str:
    """The method, with the number of its seeds, and of its runs if seeds repeat."""
    method = runs[0].method
    seeds = len({run.record.seed for run in runs})
    if len(runs) == 1:
        return method
    if seeds == 1:
        return f"{method}, {len(runs)} runs of one seed"
    return f"{method}, {seeds} seeds" + (f" in {len(runs)} runs" if len(runs) > seeds else "")


def band_note(series: Sequence[Series], over: str) -> str:
    """What a title says about the bands; empty without bands."""
    drawn = [each for each in series if each.low is not None and not each.faint and len(each.x) > 1]
    return f"; 95 % intervals over {over}" if drawn else ""


def as_series(mean: Mean, label: str, group: Sequence[PlottedRun], **style: Any) -> Series:
    """A mean curve as the line of a method."""
    return Series(label, **asdict(mean), colour=group[0].colour, **style)

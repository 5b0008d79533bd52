"""Runs as pictures show them: seeds of a method together, however often each was repeated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np

from seqrl_cli.reports.plot.curves import Mean, Series, mean_curve
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Member:
    """A run.

    Attributes:
        folder: where it is.
        record: its record.
        episodes: what was planned with it.
        method: name of what it is a seed of.
        colour: index of that.
    """

    folder: RunFolder
    record: RunRecord
    episodes: tuple[EpisodeResult, ...]
    method: str = ""
    colour: int = 0

    @property
    def arch(self) -> str:
        """Architecture, and whether it was fine-tuned."""
        return f"{self.record.arch} online" if self.record.parent else self.record.arch


def methods(members: Sequence[Member]) -> list[list[Member]]:
    """Runs that are seeds of one method, together."""
    ordered = sorted(members, key=lambda member: member.colour)
    return [list(group) for _, group in groupby(ordered, key=lambda member: member.colour)]


def mean_of_seeds(group: Sequence[Member], read: Callable[[Member], Curve], *, grid: bool = False) -> Mean | None:
    """The mean curve of a method's seeds; None when no run has a curve.

    Runs of one seed are no evidence of their own: they are averaged first, and count as one.

    Args:
        group: runs of one method.
        read: what a run shows; an empty curve is left out.
        grid: whether places differ from run to run, so that curves have to be interpolated.
    """
    by_seed: dict[int, list[Curve]] = defaultdict(list)
    for member in group:
        if curve := read(member):
            by_seed[member.record.seed].append(curve)
    if not by_seed:
        return None
    seeds = [curves[0] if len(curves) == 1 else _average(curves, grid) for curves in by_seed.values()]
    return mean_curve(on_one_grid(seeds) if grid else seeds)


def _average(curves: list[Curve], grid: bool) -> Curve:
    mean = mean_curve(on_one_grid(curves) if grid else curves)
    return list(zip(mean.x, mean.y, strict=True))


def on_one_grid(curves: list[Curve]) -> list[Curve]:
    """Curves whose places differ, because episodes end when they end, at the places of all.

    Each is interpolated between its own points and ends where the shortest ends.
    """
    end = min(curve[-1][0] for curve in curves)
    places = sorted({x for curve in curves for x, _ in curve if x <= end})
    gridded = []
    for curve in curves:
        x, y = np.array(curve, dtype=np.float64).T
        gridded.append(list(zip(places, np.interp(places, x, y).tolist(), strict=True)))
    return gridded


def named(shown: Sequence[Member]) -> str:
    """A method with how many seeds of it are shown, and how many runs where seeds repeat."""
    method, runs, seeds = shown[0].method, len(shown), len({member.record.seed for member in shown})
    if runs == 1:
        return method
    return (
        f"{method}, {runs} runs of a seed"
        if seeds == 1
        else f"{method}, {seeds} seeds" + (f" in {runs} runs" if runs > seeds else "")
    )


def bands(series: Sequence[Series], over: str) -> str:
    """What a title says of the bands, if there are any."""
    return f"; 95 % bands over {over}" if any(each.low is not None and not each.faint for each in series) else ""


def as_series(mean: Mean, label: str, group: Sequence[Member], **style: Any) -> Series:
    """A mean as the line of a method."""
    return Series(label, **asdict(mean), colour=group[0].colour, **style)

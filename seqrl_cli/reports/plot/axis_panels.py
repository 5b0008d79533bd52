"""The axes of a sweep against what its runs reached: scores or returns of their plans, else their validation loss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.plot.curves import Panel, Series
from seqrl_cli.reports.plot.run_curves import PlottedRun, band_note
from seqrl_cli.reports.statistics import t_half_width
from seqrl_cli.tracking.metrics import last_validation_loss, read_training_lines

_SEED = "seed"
_LOG_RATIO = 3.0
"""Positive values whose largest is more than so many times the smallest are spread by their logarithm."""

Place = tuple[tuple[str, str], ...]
"""A run's values on all axes but one, with the settings of its plan."""

Reached = tuple[str, list[tuple[dict[str, str], float]]]
"""The unit of what runs reached, and each run's place with what it reached there."""


def axis_panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """One panel per axis with several values: a line per choice of the others, averaged over seeds; [] without axes."""
    placed = [run for run in runs if run.axes]
    keys = [key for key in dict.fromkeys(key for run in placed for key in run.axes) if key != _SEED]
    planned, learned = _planned(placed), _learned(placed)  # of an axis that is hardly planned yet, the losses
    return [panel for key in keys if (panel := _panel(key, *planned) or _panel(key, *learned))]


def _learned(runs: Sequence[PlottedRun]) -> Reached:
    """The last validation losses."""
    return "validation loss", [(dict(run.axes), loss) for run in runs if (loss := _validation_loss(run)) is not None]


def _planned(runs: Sequence[PlottedRun]) -> Reached:
    """The means of the planned episodes, per setting of the plans."""
    episodes = [episode for run in runs for episode in run.episodes]
    scored = all(episode.score is not None for episode in episodes)
    # The settings of plans tell points apart only where one run was planned with several.
    several = any(len({episode.settings_label for episode in run.episodes}) > 1 for run in runs)
    found = []
    for run in runs:
        by_setting: dict[str, list[float]] = defaultdict(list)
        for episode in run.episodes:
            value = episode.return_ if episode.score is None or not scored else 100.0 * episode.score
            by_setting[episode.settings_label].append(value)
        for label, values in by_setting.items():
            place = {**run.axes, "plan": label} if several else dict(run.axes)
            found.append((place, float(np.mean(values))))
    return ("normalized score (%)" if scored else "return"), found


def _validation_loss(run: PlottedRun) -> float | None:
    return last_validation_loss(read_training_lines(run.folder.metrics))


def _panel(key: str, unit: str, reached: Sequence[tuple[Mapping[str, str], float]]) -> Panel | None:
    texts = sorted({place[key] for place, _ in reached if key in place}, key=natural_order)
    if len(texts) < 2:
        return None
    positions, logarithmic = _positions(texts)
    lines: dict[Place, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for place, value in reached:
        if key in place:
            other = tuple((name, text) for name, text in place.items() if name not in (key, _SEED))
            lines[other][positions[place[key]]].append(value)
    series = [_series(other, points, lines, colour) for colour, (other, points) in enumerate(lines.items())]
    names = () if _numbers(texts) else tuple(texts)
    title = f"{unit[0].upper()}{unit[1:].removesuffix(' (%)')} over {key}{band_note(series, 'seeds')}"
    return Panel("axis", title, key, unit, tuple(series), x_logarithmic=logarithmic, x_names=names)


def _series(other: Place, points: Mapping[float, list[float]], lines: Mapping[Place, object], colour: int) -> Series:
    """A line through the means over seeds, with a band if every point has several."""
    x = sorted(points)
    values = [np.array(points[each]) for each in x]
    y = [float(each.mean()) for each in values]
    differing = [name for name in dict(other) if len({dict(line).get(name) for line in lines}) > 1]
    label = ", ".join(_short(name, text) for name, text in other if name in differing) or "mean over seeds"
    if min(map(len, values)) < 2:
        return Series(label, tuple(x), tuple(y), colour=colour)
    half = [float(t_half_width(each[:, None])[0]) for each in values]
    low = tuple(mean - width for mean, width in zip(y, half, strict=True))
    high = tuple(mean + width for mean, width in zip(y, half, strict=True))
    return Series(label, tuple(x), tuple(y), low, high, count=min(map(len, values)), colour=colour)


def _short(name: str, text: str) -> str:
    return text if name in ("model.arch", "dataset", "plan") else f"{name.rpartition('.')[2]} {text}"


def _positions(texts: Sequence[str]) -> tuple[dict[str, float], bool]:
    """Where values stand on the axis, and whether it is logarithmic; values that are no numbers stand side by side."""
    numbers = _numbers(texts)
    if not numbers:
        return {text: float(index) for index, text in enumerate(texts)}, False
    low, high = min(numbers), max(numbers)
    return dict(zip(texts, numbers, strict=True)), low > 0 and high > _LOG_RATIO * low


def _numbers(texts: Sequence[str]) -> list[float]:
    """The values as numbers; none if one of them is something else."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []

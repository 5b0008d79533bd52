"""What runs earned in the evaluations of their training: one small panel per task where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from seqrl_cli.reports.plot.curves import Panel
from seqrl_cli.reports.plot.run_curves import (
    Curve,
    PlottedRun,
    as_series,
    band_note,
    group_by_method,
    legend_label,
    mean_of_seeds,
)
from seqrl_cli.tracking.metrics import read_evaluation_lines

_TITLE = "Evaluations in training"
# What is shown of a task: the first of these that its lines have, with its unit and the factor that gives it.
_MEASURES = (("success", "solved (%)", 100.0), ("score", "score (%)", 1.0), ("return", "return", 1.0))


def evaluation_panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """Success, else the score, else the return, of each task or of the only one; none if no run was evaluated."""
    names = {
        name: None for run in runs for line in read_evaluation_lines(run.folder.metrics) for name in line.as_dict()
    }
    tasks = list(dict.fromkeys(name.partition("/")[2] for name in names if name.startswith("evaluation_return/")))
    if not tasks:
        only = _panel(runs, list(names), "")
        return [only] if only else []
    small = [panel for task in tasks if (panel := _panel(runs, list(names), task))]
    note = next((band_note(panel.series, "seeds") for panel in small if band_note(panel.series, "seeds")), "")
    return [Panel("evaluation", _TITLE + note, "", "", small=tuple(small))] if small else []


def _panel(runs: Sequence[PlottedRun], names: Sequence[str], task: str) -> Panel | None:
    """The curves of one task, or of the mean if it has no name; None without any."""
    suffix = f"/{task}" if task else ""
    for measure, unit, factor in _MEASURES:
        name = f"evaluation_{measure}{suffix}"
        if name not in names:
            continue
        series = []
        for group in group_by_method(runs):
            curve = partial(_curve, name=name, factor=factor)
            shown = [run for run in group if curve(run)]
            if shown and (mean := mean_of_seeds(shown, curve)):
                series.append(as_series(mean, legend_label(shown), group))
        if series:
            title = task or _TITLE + band_note(series, "seeds")
            return Panel("evaluation", title, "updates", unit, tuple(series))
    return None


def _curve(run: PlottedRun, name: str, factor: float) -> Curve:
    lines = read_evaluation_lines(run.folder.metrics)
    return [(line.step, factor * value) for line in lines if (value := line.get(name)) is not None]

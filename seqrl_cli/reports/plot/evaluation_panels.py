"""Learning curves: what the model earned when it was evaluated in the middle of training."""

from __future__ import annotations

from collections.abc import Sequence

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
from seqrl_cli.tracking.metrics import EvaluationLine, read_evaluation_lines

_MEASURES = (
    ("evaluation_success", "success (%)", 100.0),
    ("evaluation_score", "normalized score (%)", 1.0),
    ("evaluation_return", "return", 1.0),
)


def evaluation_panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """Evaluations of ``--eval-every`` over updates: success, score or return, the first of them that all runs have."""
    lines = {id(run): read_evaluation_lines(run.folder.metrics) for run in runs}
    evaluated = [run for run in runs if lines[id(run)]]
    found = [
        measure
        for measure in _MEASURES
        if evaluated and all(any(line.get(measure[0]) is not None for line in lines[id(run)]) for run in evaluated)
    ]
    if not found:
        return []
    name, y_label, factor = found[0]

    def curve(run: PlottedRun) -> Curve:
        return _curve(lines[id(run)], name, factor)

    series = []
    for group in group_by_method(evaluated):
        mean = mean_of_seeds(group, curve)
        if mean:
            series.append(as_series(mean, legend_label(group), group))
    title = "Evaluation while training" + band_note(series, "seeds")
    return [Panel("evaluation", title, "updates", y_label, tuple(series))]


def _curve(lines: Sequence[EvaluationLine], name: str, factor: float) -> Curve:
    return [(line.step, factor * value) for line in lines if (value := line.get(name)) is not None]

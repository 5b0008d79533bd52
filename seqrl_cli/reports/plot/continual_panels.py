"""The panels of continual runs: success after each task as a heat map, averages, forgetting, and use of adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from seqrl_cli.continual.run_files import short_names, success_matrix
from seqrl_cli.reports.continual_results import ContinualGroup
from seqrl_cli.reports.plot.curves import HeatMap, Panel, PointsRow, Series, mean_curve


def build_continual_panels(kind: str, groups: Sequence[ContinualGroup]) -> list[Panel]:
    """The panels of a kind (one of ``CONTINUAL_KINDS``); none if no run has data for it."""
    return _BUILDERS[kind](groups)


def _matrices(groups: Sequence[ContinualGroup]) -> list[Panel]:
    panels = []
    for group in groups:
        first = group.results[0]
        values = np.mean([success_matrix(list(result.evaluations)) for result in group.results], axis=0)
        learned = first.task_names if len(values) > len(first.task_names) else ["all"]
        rows = ("before", *(f"after {name}" for name in learned))
        heat = HeatMap(rows, tuple(first.task_names), tuple(map(tuple, values.tolist())))
        title = f"{group.title}: {_measured(group)}"
        panels.append(Panel("matrix", title + _seeds(group), "task played", "", heat=heat))
    return panels


def _curves(groups: Sequence[ContinualGroup]) -> list[Panel]:
    series = []
    for number, group in enumerate(groups):
        curves = []
        for result in group.results:
            means = success_matrix(list(result.evaluations)).mean(axis=1)
            steps = np.linspace(0, len(result.record.tasks), len(means))
            curves.append(list(zip(steps.tolist(), means.tolist(), strict=True)))
        mean = mean_curve(curves)
        series.append(Series(group.title, mean.x, mean.y, mean.low, mean.high, mean.count, number))
    return [Panel("curve", "Average over all tasks", "tasks learned", _measured(groups[0]), tuple(series))]


def _forgetting(groups: Sequence[ContinualGroup]) -> list[Panel]:
    rows = []
    for number, group in enumerate(groups):
        values = tuple(result.scores.forgetting for result in group.results)
        interval = None
        mean = mean_curve([[(0.0, value)] for value in values])
        if mean.low is not None and mean.high is not None:
            interval = mean.low[0], mean.high[0]
        rows.append(PointsRow(group.title, values, float(np.mean(values)), interval, number))
    return [Panel("forgetting", "Forgetting of earlier tasks", f"loss of {_measured(groups[0])}", "", dots=tuple(rows))]


def _keys(groups: Sequence[ContinualGroup]) -> list[Panel]:
    """Use of adapters after the last task by the first seed, since other seeds number them differently."""
    panels = []
    for group in groups:
        last = group.results[0].evaluations[-1]
        played = (*last.tasks, *last.pretraining)
        members = sorted({member for score in played for member in score.used})
        if members == [-1]:
            continue
        values = tuple(tuple(score.used.get(member, 0.0) for member in members) for score in played)
        rows = tuple(short_names([score.dataset for score in played]))
        columns = tuple("none" if member < 0 else str(member) for member in members)
        seed = group.results[0].record.settings.seed
        title = f"{group.title}: share of steps by adapter, seed {seed}"
        panels.append(Panel("keys", title, "adapter", "", heat=HeatMap(rows, columns, values)))
    return panels


def _measured(group: ContinualGroup) -> str:
    return "success" if all(result.reports_success for result in group.results) else "return"


def _seeds(group: ContinualGroup) -> str:
    return f", mean of {len(group.results)} seeds" if len(group.results) > 1 else ""


_BUILDERS: dict[str, Callable[[Sequence[ContinualGroup]], list[Panel]]] = {
    "matrix": _matrices,
    "curve": _curves,
    "forgetting": _forgetting,
    "keys": _keys,
}
CONTINUAL_KINDS = tuple(_BUILDERS)

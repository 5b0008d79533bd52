"""The panels of each kind of plot: losses, online fine-tuning, rewards, scores, and time per step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.presets import load_config
from seqrl_cli.errors import SeqrlError
from seqrl_cli.reports.plot.axis_panels import axis_panels
from seqrl_cli.reports.plot.curves import Panel, PointsRow, Series
from seqrl_cli.reports.plot.evaluation_panels import evaluation_panels
from seqrl_cli.reports.plot.online_panels import online_loss, online_panels
from seqrl_cli.reports.plot.plan_panels import read_plans, reward_panels, score_panels
from seqrl_cli.reports.plot.run_curves import (
    Curve,
    PlottedRun,
    as_series,
    band_note,
    group_by_method,
    legend_label,
    mean_of_seeds,
)
from seqrl_cli.tracking.metrics import read_training_lines, validation_losses

_HORIZON = re.compile(r"^H(\d+)-?")


def build_panels(kind: str, runs: Sequence[PlottedRun]) -> list[Panel]:
    """The panels of a kind (one of ``KINDS``); none if no run has data for it."""
    return _BUILDERS[kind](runs)


def _losses(runs: Sequence[PlottedRun]) -> list[Panel]:
    """One panel per kind of loss, since different losses cannot be compared."""
    by_unit: dict[str, list[PlottedRun]] = defaultdict(list)
    for run in runs:
        by_unit[_unit(run)].append(run)
    return [panel for unit, alike in by_unit.items() if (panel := _loss(alike, unit))] + online_loss(runs)


def _unit(run: PlottedRun) -> str:
    """The name of a run's loss, with the weights of tokens that count more or less than others."""
    architecture = ARCHITECTURES.get(run.record.arch)
    loss = architecture.loss if architecture else "loss"
    if not has_key(run.record.arch, "train.action_weight"):
        return loss
    try:
        train = load_config(run.folder.config).train
    except SeqrlError:
        return f"{loss}, weighted"
    weights = {"actions": train.action_weight, "rewards": train.reward_weight, "values": train.value_weight}
    weighted = [f"{tokens} × {weight:g}" for tokens, weight in weights.items() if weight != 1]
    return ", ".join([loss, *weighted])


def _loss(runs: Sequence[PlottedRun], unit: str) -> Panel | None:
    """Validation loss, with training loss as a thin line; the training loss alone for runs without validation."""
    series: list[Series] = []
    drawn: list[PlottedRun] = []
    for group in group_by_method(runs):
        shown = [run for run in group if _training_loss(run)]
        if not shown:
            continue
        drawn += shown
        name = legend_label(shown)
        training = mean_of_seeds(shown, _training_loss)
        held_out = mean_of_seeds(shown, _held_out_loss) if all(map(_held_out_loss, shown)) else None
        if training and held_out:
            series.append(as_series(training, f"{name}, training", group, faint=True))
        elif training:
            series.append(as_series(training, name, group))
        if held_out:
            series.append(as_series(held_out, name, group))
    if not series:
        return None
    archs = ", ".join(dict.fromkeys(run.arch for run in drawn))
    both = any(each.faint for each in series)
    title = f"{archs}: loss on held-out data, and in training (thin)" if both else f"{archs}: training loss"
    return Panel("loss", title + band_note(series, "seeds"), "updates", unit, tuple(series))


def _training_loss(run: PlottedRun) -> Curve:
    """The training loss that compares with the held-out loss: for a stochastic policy, without its entropy term."""
    lines = read_training_lines(run.folder.metrics)
    return [(line.step, line.loss if (nll := line.get("nll")) is None else nll) for line in lines]


def _held_out_loss(run: PlottedRun) -> Curve:
    return [*validation_losses(run.folder.metrics)]


def _time(runs: Sequence[PlottedRun]) -> list[Panel]:
    """Seconds per planned step: over the horizon if there are several, else one row per setting."""
    rows = []
    lines: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for plans in read_plans(runs):
        known = (episode.seconds_per_step for episode in plans.episodes)
        seconds = [each for each in known if each is not None]
        if not seconds:
            continue
        mean = float(np.mean(seconds))
        colour = plans.first.colour
        rows.append(PointsRow(plans.label, tuple(seconds), mean, colour=colour))
        setting = plans.episodes[0].settings_label
        if horizon := _HORIZON.match(setting):
            rest = f"{plans.first.method} {setting[horizon.end() :]}".strip()
            lines[rest, colour].append((int(horizon[1]), mean))
    if not rows:
        return []
    if len({x for points in lines.values() for x, _ in points}) < 2:
        return [Panel("time", "Time per planned step", "seconds", "", dots=tuple(rows))]
    series = [_from_points(sorted(points), label, colour) for (label, colour), points in lines.items()]
    return [Panel("time", "Time per planned step", "horizon (transitions)", "seconds per step", tuple(series))]


_BUILDERS: dict[str, Callable[[Sequence[PlottedRun]], list[Panel]]] = {
    "loss": _losses,
    "evaluation": evaluation_panels,
    "online": online_panels,
    "reward": reward_panels,
    "score": score_panels,
    "time": _time,
    "axis": axis_panels,
}
KINDS = tuple(_BUILDERS)


def _from_points(points: Sequence[tuple[float, float]], label: str, colour: int) -> Series:
    x, y = zip(*points, strict=True)
    return Series(label, x, y, colour=colour)

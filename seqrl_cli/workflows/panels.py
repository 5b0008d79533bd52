"""What runs have to show, one panel a kind: losses, online fine-tuning, rewards, scores, and the time of a step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import h5py
import numpy as np

from seqrl_cli.online.metrics import read_online_metrics
from seqrl_cli.reports.curves import Dots, Mean, Panel, Series, mean_curve, mean_of_running_sums
from seqrl_cli.reports.groups import natural_order
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import summarize
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.training.metrics import read_metrics

BOOTSTRAP_SEED = 0
_HORIZON = re.compile(r"^H(\d+)-?")


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


def build_panels(kind: str, members: Sequence[Member]) -> list[Panel]:
    """The panels of a kind, one of ``KINDS``; none when no run has anything of it."""
    if kind == "loss":
        return _losses(members)
    panel = _BUILDERS[kind](members)
    return [panel] if panel else []


def _losses(members: Sequence[Member]) -> list[Panel]:
    """A panel for each quantity that is called loss: they cannot be compared."""
    by_unit: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_unit[_LOSSES.get(member.record.arch, "loss")].append(member)
    return [panel for unit, alike in by_unit.items() if (panel := _loss(alike, unit))]


_LOSSES = {
    **dict.fromkeys(("gpt", "retnet"), "weighted cross-entropy (nats a token)"),
    **dict.fromkeys(("dt", "bc"), "squared error of actions"),
    "odt": "negative log-likelihood of actions (nats)",
}


def _loss(members: Sequence[Member], unit: str) -> Panel | None:
    """Training loss, thin, and validation loss; a run without validation shows its training loss alone."""
    series = []
    for group in _methods(members):
        logs = [log for member in group if (log := read_metrics(member.folder.metrics))]
        training = [[(line.step, line.loss) for line in log] for log in logs]
        held_out = [[(e.step, e.validation_loss) for e in log if e.validation_loss is not None] for log in logs]
        if not logs:
            continue
        validated = all(held_out)
        name = _named(group, len(logs))
        series.append(_series(mean_curve(training), f"{name}, training" if validated else name, group, faint=validated))
        if validated:
            series.append(_series(mean_curve(held_out), name, group))
    if not series:
        return None
    title = "Loss: held out, and in training (thin)" if any(each.faint for each in series) else "Training loss"
    return Panel("loss", title + _bands(series, "seeds"), "updates", unit, tuple(series))


def _online(members: Sequence[Member]) -> Panel | None:
    """Evaluations of runs that are fine-tuned online, against the environment steps they have explored."""
    logs = {id(member): read_online_metrics(member.folder.metrics) for member in members}
    lines = [line for log in logs.values() for line in log]
    has_scores = any(line.evaluation_score is not None for line in lines)
    series = []
    for group in _methods(members):
        curves = []
        for member in group:
            points = (
                (e.env_steps, e.evaluation_score if has_scores else e.evaluation_return) for e in logs[id(member)]
            )
            curves.append([(float(x), y) for x, y in points if y is not None])
        curves = [curve for curve in curves if curve]
        if curves:
            series.append(_series(mean_curve(_on_one_grid(curves)), _named(group, len(curves)), group))
    y_label = "normalized score (%)" if has_scores else "return"
    title = "Online fine-tuning" + _bands(series, "seeds")
    return Panel("online", title, "environment steps explored", y_label, tuple(series)) if series else None


def _reward(members: Sequence[Member]) -> Panel | None:
    """Reward earned so far in planned episodes."""
    series = []
    for label, member, dash, episodes in _plans(members):
        rewards = [found for episode in episodes if (found := _read_rewards(episode)) is not None]
        if rewards:
            series.append(_series(mean_of_running_sums(rewards), label, [member], dash=dash))
    title = "Reward earned in planned episodes" + _bands(series, "them")
    return Panel("reward", title, "environment step", "return so far", tuple(series)) if series else None


def _score(members: Sequence[Member]) -> Panel | None:
    """Scores of planned episodes, or returns where some have no score, with bootstrap intervals as in tables."""
    plans = list(_plans(members))
    if not plans:
        return None
    scored = all(episode.score is not None for _, _, _, episodes in plans for episode in episodes)
    rows, rng = [], np.random.default_rng(BOOTSTRAP_SEED)
    for label, member, _, episodes in plans:
        values = [100.0 * (e.score or 0.0) if scored else e.return_ for e in episodes]
        found = summarize(values, [episode.run for episode in episodes], rng)
        rows.append(Dots(label, tuple(values), found.mean, found.mean_interval, member.colour))
    unit = "normalized score (%)" if scored else "return"
    return Panel("score", "Planned episodes: each, mean and 95 % interval", unit, "", dots=tuple(rows))


def _time(members: Sequence[Member]) -> Panel | None:
    """Seconds of a planned step: against the horizon when there are several, else side by side."""
    rows, lines = [], defaultdict(list)
    for label, member, _, episodes in _plans(members):
        seconds = [e.seconds_per_step for e in episodes if e.seconds_per_step is not None]
        if not seconds:
            continue
        mean = float(np.mean(seconds))
        rows.append(Dots(label, tuple(seconds), mean, colour=member.colour))
        setting = episodes[0].settings_label
        if horizon := _HORIZON.match(setting):
            rest = f"{member.method} {setting[horizon.end() :]}".strip()
            lines[rest, member.colour].append((int(horizon[1]), mean))
    if not rows:
        return None
    if len({x for points in lines.values() for x, _ in points}) < 2:
        return Panel("time", "Time of a planned step", "seconds", "", dots=tuple(rows))
    series = [_from_points(sorted(points), label, colour) for (label, colour), points in lines.items()]
    return Panel("time", "Time of a planned step", "horizon (transitions)", "seconds a step", tuple(series))


_BUILDERS: dict[str, Callable[[Sequence[Member]], Panel | None]] = {
    "online": _online,
    "reward": _reward,
    "score": _score,
    "time": _time,
}
KINDS = ("loss", *_BUILDERS)


def _methods(members: Sequence[Member]) -> list[list[Member]]:
    """Runs that are seeds of one method, together."""
    ordered = sorted(members, key=lambda member: member.colour)
    return [list(group) for _, group in groupby(ordered, key=lambda member: member.colour)]


def _plans(members: Sequence[Member]) -> list[tuple[str, Member, int, list[EpisodeResult]]]:
    """Label, first run, index among the method's settings, and episodes, of each method and plan setting."""
    found = []
    for group in _methods(members):
        by_setting: dict[str, list[EpisodeResult]] = defaultdict(list)
        for member in group:
            for episode in member.episodes:
                by_setting[episode.settings_label].append(episode)
        for dash, setting in enumerate(sorted(by_setting, key=natural_order)):
            found.append((f"{group[0].method} {setting}".strip(), group[0], dash, by_setting[setting]))
    return found


def _read_rewards(episode: EpisodeResult) -> np.ndarray | None:
    """Rewards of an episode, (steps,); None when its states are not there."""
    try:
        with h5py.File(episode.path.with_suffix(".h5")) as file:
            return np.asarray(file["rewards"][:], dtype=np.float64)
    except (OSError, KeyError, ValueError):
        return None


def _on_one_grid(curves: list[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
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


def _bands(series: Sequence[Series], over: str) -> str:
    return f"; 95 % bands over {over}" if any(each.low is not None and not each.faint for each in series) else ""


def _named(group: Sequence[Member], seeds: int) -> str:
    return group[0].method if seeds == 1 else f"{group[0].method}, {seeds} seeds"


def _series(mean: Mean, label: str, group: Sequence[Member], **style: Any) -> Series:
    return Series(label, **asdict(mean), colour=group[0].colour, **style)


def _from_points(points: Sequence[tuple[float, float]], label: str, colour: int) -> Series:
    x, y = zip(*points, strict=True)
    return Series(label, x, y, colour=colour)

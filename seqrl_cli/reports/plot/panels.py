"""What runs have to show, by kind: losses, online fine-tuning, rewards, scores, and the time of a step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.presets import load_config
from seqrl_cli.errors import SeqrlError
from seqrl_cli.planning.episode_files import read_array
from seqrl_cli.reports.groups import drop_repeats, natural_order, summarize_episodes
from seqrl_cli.reports.plot.curves import Dots, Panel, Series, mean_of_running_sums
from seqrl_cli.reports.plot.online_panels import online_loss, online_panels
from seqrl_cli.reports.plot.run_curves import Curve, Member, as_series, bands, mean_of_seeds, methods, named
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.tracking.metrics import read_training_lines

_HORIZON = re.compile(r"^H(\d+)-?")


def build_panels(kind: str, members: Sequence[Member]) -> list[Panel]:
    """The panels of a kind, one of ``KINDS``; none when no run has anything of it."""
    return _BUILDERS[kind](members)


def _losses(members: Sequence[Member]) -> list[Panel]:
    """A panel for each quantity that is called loss: they cannot be compared."""
    by_unit: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_unit[_unit(member)].append(member)
    return [panel for unit, alike in by_unit.items() if (panel := _loss(alike, unit))] + online_loss(members)


def _unit(member: Member) -> str:
    """What a run's loss is, and which tokens count more or less than others in it."""
    architecture = ARCHITECTURES.get(member.record.arch)
    loss = architecture.loss if architecture else "loss"
    if not has_key(member.record.arch, "train.action_weight"):
        return loss
    try:
        train = load_config(member.folder.config).train
    except SeqrlError:
        return f"{loss}, weighted"
    weights = {"actions": train.action_weight, "rewards": train.reward_weight, "values": train.value_weight}
    told = [f"{tokens} × {weight:g}" for tokens, weight in weights.items() if weight != 1]
    return ", ".join([loss, *told])


def _loss(members: Sequence[Member], unit: str) -> Panel | None:
    """Training loss, thin, and validation loss; a run without validation shows its training loss alone."""
    series = []
    for group in methods(members):
        shown = [member for member in group if _training_loss(member)]
        if not shown:
            continue
        name, training = named(shown), mean_of_seeds(shown, _training_loss)
        held_out = mean_of_seeds(shown, _held_out_loss) if all(map(_held_out_loss, shown)) else None
        label = f"{name}, training" if held_out else name
        series += [as_series(training, label, group, faint=held_out is not None)] if training else []
        series += [as_series(held_out, name, group)] if held_out else []
    if not series:
        return None
    title = "Loss on held-out data, and in training (thin)" if any(each.faint for each in series) else "Training loss"
    return Panel("loss", title + bands(series, "seeds"), "updates", unit, tuple(series))


def _training_loss(member: Member) -> Curve:
    """What is held against the held-out loss: of a stochastic policy the loss without its entropy."""
    lines = read_training_lines(member.folder.metrics)
    return [(line.step, line.loss if (nll := line.get("nll")) is None else nll) for line in lines]


def _held_out_loss(member: Member) -> Curve:
    lines = read_training_lines(member.folder.metrics)
    return [(line.step, loss) for line in lines if (loss := line.get("validation_loss")) is not None]


@dataclass(frozen=True)
class _Plans:
    """Episodes of one method, planned with one setting.

    Attributes:
        label: method and setting.
        first: one of the runs.
        dash: index of the setting among the method's.
        episodes: of all runs; what a repeated seed has played to the same end, once.
    """

    label: str
    first: Member
    dash: int
    episodes: list[EpisodeResult]


def _plans(members: Sequence[Member]) -> list[_Plans]:
    found = []
    for group in methods(members):
        by_setting: dict[str, list[EpisodeResult]] = defaultdict(list)
        for member in group:
            for episode in member.episodes:
                by_setting[episode.settings_label].append(episode)
        for dash, setting in enumerate(sorted(by_setting, key=natural_order)):
            episodes, _ = drop_repeats(sorted(by_setting[setting], key=lambda episode: episode.path))
            found.append(_Plans(f"{group[0].method} {setting}".strip(), group[0], dash, episodes))
    return found


def _reward(members: Sequence[Member]) -> list[Panel]:
    """Reward earned so far in planned episodes."""
    series = []
    for plans in _plans(members):
        rewards = [found for episode in plans.episodes if (found := read_array(episode.path, "rewards")) is not None]
        if rewards:
            series.append(as_series(mean_of_running_sums(rewards), plans.label, [plans.first], dash=plans.dash))
    title = "Reward of planned episodes" + bands(series, "episodes")
    return [Panel("reward", title, "environment step", "return so far", tuple(series))] if series else []


def _score(members: Sequence[Member]) -> list[Panel]:
    """Scores of planned episodes, or returns where some have no score, with bootstrap intervals as in tables."""
    found = _plans(members)
    if not found:
        return []
    scored = all(episode.score is not None for plans in found for episode in plans.episodes)
    rows = []
    for plans in found:
        scores = [100.0 * episode.score for episode in plans.episodes if episode.score is not None]
        values = scores if scored else [episode.return_ for episode in plans.episodes]
        summary = summarize_episodes(values, plans.episodes)
        rows.append(Dots(plans.label, tuple(values), summary.mean, summary.mean_interval, plans.first.colour))
    unit = "normalized score (%)" if scored else "return"
    return [Panel("score", "Planned episodes: each, mean and 95 % interval", unit, "", dots=tuple(rows))]


def _time(members: Sequence[Member]) -> list[Panel]:
    """Seconds of a planned step: against the horizon when there are several, else side by side."""
    rows, lines = [], defaultdict(list)
    for plans in _plans(members):
        seconds = [e.seconds_per_step for e in plans.episodes if e.seconds_per_step is not None]
        if not seconds:
            continue
        mean, colour = float(np.mean(seconds)), plans.first.colour
        rows.append(Dots(plans.label, tuple(seconds), mean, colour=colour))
        setting = plans.episodes[0].settings_label
        if horizon := _HORIZON.match(setting):
            rest = f"{plans.first.method} {setting[horizon.end() :]}".strip()
            lines[rest, colour].append((int(horizon[1]), mean))
    if not rows:
        return []
    if len({x for points in lines.values() for x, _ in points}) < 2:
        return [Panel("time", "Time of a planned step", "seconds", "", dots=tuple(rows))]
    series = [_from_points(sorted(points), label, colour) for (label, colour), points in lines.items()]
    return [Panel("time", "Time of a planned step", "horizon (transitions)", "seconds a step", tuple(series))]


_BUILDERS: dict[str, Callable[[Sequence[Member]], list[Panel]]] = {
    "loss": _losses,
    "online": online_panels,
    "reward": _reward,
    "score": _score,
    "time": _time,
}
KINDS = tuple(_BUILDERS)


def _from_points(points: Sequence[tuple[float, float]], label: str, colour: int) -> Series:
    x, y = zip(*points, strict=True)
    return Series(label, x, y, colour=colour)

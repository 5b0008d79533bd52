"""The panels of planned episodes: their rewards and scores, for runs of many tasks in small panels by task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.planning.episode_files import read_array
from seqrl_cli.reports.groups import drop_repeats, generator_of, summarize_episodes, task_order
from seqrl_cli.reports.plot.curves import Panel, PointsRow, mean_of_running_sums
from seqrl_cli.reports.plot.run_curves import PlottedRun, as_series, band_note, group_by_method
from seqrl_cli.reports.results import EpisodeResult


@dataclass(frozen=True)
class Plans:
    """Episodes of one method with one setting.

    Attributes:
        label: method and setting.
        first: one of the runs.
        dash: index of the setting among those of the method.
        episodes: episodes of all runs, without repeats of one seed.
    """

    label: str
    first: PlottedRun
    dash: int
    episodes: list[EpisodeResult]


def read_plans(runs: Sequence[PlottedRun], task: str | None = None) -> list[Plans]:
    """The episodes of each method and setting.

    Args:
        runs: what to plot.
        task: the environment whose episodes to take; None for all.
    """
    found = []
    for group in group_by_method(runs):
        by_setting: dict[str, list[EpisodeResult]] = defaultdict(list)
        for run in group:
            for episode in run.episodes:
                if task is None or episode.task == task:
                    by_setting[episode.settings_label].append(episode)
        for dash, setting in enumerate(sorted(by_setting, key=natural_order)):
            episodes, _ = drop_repeats(sorted(by_setting[setting], key=lambda episode: episode.path))
            found.append(Plans(f"{group[0].method} {setting}".strip(), group[0], dash, episodes))
    return found


def reward_panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """The return so far in planned episodes, with bootstrap intervals, which end as those of the returns."""
    panels = [_reward(read_plans(one)) for one in [_of_one_task(runs)] if one]
    tasks = {task: _reward(read_plans(_of_many_tasks(runs), task)) for task in _tasks(runs)}
    panels.append(_small("reward", "Reward of planned episodes by task", tasks))
    return [panel for panel in panels if panel]


def _reward(found: Sequence[Plans]) -> Panel | None:
    series = []
    for plans in found:
        arrays = [(episode, read_array(episode.path, "rewards")) for episode in plans.episodes]
        rewards = [array for _, array in arrays if array is not None]
        if rewards:
            runs = [episode.replicate for episode, array in arrays if array is not None]
            mean = mean_of_running_sums(rewards, runs, generator_of(plans.episodes))
            series.append(as_series(mean, plans.label, [plans.first], dash=plans.dash))
    title = "Reward of planned episodes" + band_note(series, "episodes")
    return Panel("reward", title, "environment step", "return so far", tuple(series)) if series else None


def score_panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """Scores of planned episodes, or returns if some have no score, with bootstrap intervals as in tables.

    In small panels by task, successes come before scores.
    """
    panels = [_score(read_plans(one)) for one in [_of_one_task(runs)] if one]
    tasks = {task: _success_or_score(read_plans(_of_many_tasks(runs), task)) for task in _tasks(runs)}
    panels.append(_small("score", "Planned episodes by task: mean and 95 % interval", tasks))
    return [panel for panel in panels if panel]


def _score(found: Sequence[Plans]) -> Panel | None:
    if not found:
        return None
    scored = all(episode.score is not None for plans in found for episode in plans.episodes)
    rows = []
    for plans in found:
        scores = [100.0 * episode.score for episode in plans.episodes if episode.score is not None]
        rows.append(_points(plans, scores if scored else [episode.return_ for episode in plans.episodes]))
    unit = "normalized score (%)" if scored else "return"
    return Panel("score", "Planned episodes: each, mean and 95 % interval", unit, "", dots=tuple(rows))


def _success_or_score(found: Sequence[Plans]) -> Panel | None:
    if not found or any(episode.success is None for plans in found for episode in plans.episodes):
        return _score(found)
    rows = [_points(plans, [100.0 * bool(episode.success) for episode in plans.episodes]) for plans in found]
    return Panel("score", "", "success (%)", "", dots=tuple(rows))


def _points(plans: Plans, values: Sequence[float]) -> PointsRow:
    summary = summarize_episodes(values, plans.episodes)
    return PointsRow(plans.label, tuple(values), summary.mean, summary.mean_interval, plans.first.colour)


def _small(kind: str, title: str, tasks: dict[str, Panel | None]) -> Panel | None:
    """One panel of small ones, each titled by its task; None without any."""
    small = []
    for task, panel in tasks.items():
        if panel:
            series, dots = panel.series, panel.dots
            small.append(Panel(kind, task, panel.x_label, panel.y_label, series, dots))
    return Panel(kind, title, "", "", small=tuple(small)) if small else None


def _of_one_task(runs: Sequence[PlottedRun]) -> list[PlottedRun]:
    return [run for run in runs if not run.record.tasks]


def _of_many_tasks(runs: Sequence[PlottedRun]) -> list[PlottedRun]:
    return [run for run in runs if run.record.tasks]


def _tasks(runs: Sequence[PlottedRun]) -> list[str]:
    """The environments that runs of many tasks were planned in, in order."""
    return sorted({episode.task for run in _of_many_tasks(runs) for episode in run.episodes}, key=task_order)

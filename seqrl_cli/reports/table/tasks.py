"""Results by task or by domain, as plain data: success, score and return, each with intervals, and their means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seqrl_cli.data.domains import domain_of
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.groups import domain_name, drop_repeats, group_episodes, task_order
from seqrl_cli.reports.results import EpisodeResult, cut_notes
from seqrl_cli.reports.statistics import Summary, named_generator, summarize, summarize_tasks

_SUCCESS_NOTE = "success: episodes solved at any step; at end: those solved at their last step"
_INTERVAL_NOTE = (
    "intervals of 95 %: bootstrap over seeds and their episodes; means of several tasks keep the tasks as they are"
)
_D4RL_SCALE = "D4RL's: 0 is a random policy, 100 the reference policy"

Value = Callable[[EpisodeResult], float | None]


@dataclass(frozen=True)
class TaskRow:
    """One method in one task, in the tasks of one domain, or in all tasks.

    Attributes:
        kind: ``task``, ``domain`` or ``all``.
        name: the environment or the domain; empty for all tasks.
        method: architecture and plan settings.
        tasks: number of tasks.
        episodes: number of episodes.
        seeds: number of training seeds.
        return_: statistics of the return.
        success: statistics of the episodes solved at any step, in percent; None if no task reports success.
        success_at_end: statistics of the episodes solved at their last step, in percent.
        score: statistics of the normalized score, in percent; None if no task has one.
    """

    kind: str
    name: str
    method: str
    tasks: int
    episodes: int
    seeds: int
    return_: Summary
    success: Summary | None
    success_at_end: Summary | None
    score: Summary | None

    @property
    def headline(self) -> Summary:
        """Success where it is reported, else the score, else the return."""
        return self.success or self.score or self.return_


@dataclass(frozen=True)
class TaskTable:
    """Everything that ``seqrl table --by task`` or ``--by domain`` prints.

    Attributes:
        by: ``task`` or ``domain``.
        rows: the rows in the order of the table; those over all tasks come last.
        notes: notes that are printed below the table.
    """

    by: str
    rows: tuple[TaskRow, ...]
    notes: tuple[str, ...]

    @property
    def methods(self) -> list[str]:
        """The methods, in order."""
        return list(dict.fromkeys(row.method for row in self.rows))


def build_task_table(episodes: Sequence[EpisodeResult], by: str) -> TaskTable:
    """Summarize episodes by task or by domain.

    Args:
        episodes: episodes from :func:`seqrl_cli.reports.results.read_results`.
        by: ``task`` or ``domain``.
    """
    assert by in ("task", "domain")
    groups, repeats = _by_task_and_method(episodes)
    rows: list[TaskRow] = []
    if by == "task":
        rows += [_row("task", task, method, [group]) for (task, method), group in groups.items()]
    else:
        rows += _joined("domain", groups, domain_name)
    if len({task for task, _ in groups}) > 1 and len({row.name for row in rows}) > 1:
        rows += _joined("all", groups, lambda task: "")
    rows.sort(key=lambda row: (row.kind == "all", task_order(row.name), natural_order(row.method)))
    return TaskTable(by, tuple(rows), (*_notes(episodes, rows), *repeats))


def _by_task_and_method(
    episodes: Sequence[EpisodeResult],
) -> tuple[dict[tuple[str, str], list[EpisodeResult]], list[str]]:
    """Episodes by task and method, and a sentence for each run that repeats another.

    A method that was trained on several datasets of one task is named with each of them.
    """
    sources: dict[tuple[str, str], dict[str, list[EpisodeResult]]] = defaultdict(dict)
    repeats: set[str] = set()
    for (dataset, method), group in group_episodes(episodes).items():
        kept, sentences = drop_repeats(group)
        repeats |= set(sentences)
        sources[group[0].task, method][dataset] = kept
    groups = {}
    for (task, method), by_dataset in sources.items():
        for dataset, kept in by_dataset.items():
            groups[task, method if len(by_dataset) == 1 else f"{method} of {dataset}"] = kept
    return groups, sorted(repeats)


def _joined(
    kind: str, groups: Mapping[tuple[str, str], list[EpisodeResult]], name_of: Callable[[str], str]
) -> list[TaskRow]:
    """One row per method and name, over the tasks of that name."""
    tasks: dict[tuple[str, str], list[list[EpisodeResult]]] = defaultdict(list)
    for (task, method), group in groups.items():
        tasks[name_of(task), method].append(group)
    return [_row(kind, name, method, members) for (name, method), members in tasks.items()]


def _row(kind: str, name: str, method: str, tasks: Sequence[Sequence[EpisodeResult]]) -> TaskRow:
    everything = [episode for task in tasks for episode in task]
    summary = _Summarizer(kind, name, method, tasks)
    returns = summary.of(lambda episode: episode.return_)
    assert returns is not None
    return TaskRow(
        kind,
        name,
        method,
        tasks=len(tasks),
        episodes=len(everything),
        seeds=len({episode.replicate for episode in everything}),
        return_=returns,
        success=summary.of(lambda episode: _percent(episode.success)),
        success_at_end=summary.of(lambda episode: _percent(episode.success_at_end)),
        score=summary.of(lambda episode: _percent(episode.score)),
    )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100.0 * fraction


@dataclass(frozen=True)
class _Summarizer:
    """Summarizes values of the episodes of one row; the same row has the same intervals in every table."""

    kind: str
    name: str
    method: str
    tasks: Sequence[Sequence[EpisodeResult]]

    def of(self, value: Value) -> Summary | None:
        """The statistics over the tasks all of whose episodes have the value; None if no task is such a one."""
        known = [task for task in self.tasks if all(value(episode) is not None for episode in task)]
        if not known:
            return None
        generator = named_generator(self.kind, self.name, self.method)
        if self.kind == "task":
            return summarize(_values(known[0], value), [episode.replicate for episode in known[0]], generator)
        return summarize_tasks([_by_seed(task, value) for task in known], generator)


def _values(episodes: Iterable[EpisodeResult], value: Value) -> list[float]:
    return [found for episode in episodes if (found := value(episode)) is not None]


def _by_seed(episodes: Sequence[EpisodeResult], value: Value) -> dict[str, list[float]]:
    seeds: dict[str, list[EpisodeResult]] = defaultdict(list)
    for episode in episodes:
        seeds[episode.replicate].append(episode)
    return {name: _values(own, value) for name, own in seeds.items()}


def _notes(episodes: Sequence[EpisodeResult], rows: Sequence[TaskRow]) -> list[str]:
    """How to read the columns that the table has."""
    notes = [_SUCCESS_NOTE] if any(row.success for row in rows) else []
    scored = {episode.task for episode in episodes if episode.score is not None}
    for name in sorted({domain_name(task) for task in scored}, key=task_order):
        domain = next((domain_of(task) for task in scored if domain_name(task) == name), None)
        notes.append(f"scores of {name} are {domain.scale if domain and domain.scale else _D4RL_SCALE}")
    return [*notes, *cut_notes(episodes), _INTERVAL_NOTE]

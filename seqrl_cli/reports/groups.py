"""Which episodes are seeds of one method: those whose models share a recipe; equal episodes count once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from seqrl_cli.data.domains import NAMES, domain_of
from seqrl_cli.errors import unknown
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import Summary, named_generator, summarize

GROUPINGS = ("method", "run")

_SEED_IN_NAME = re.compile(r"-s\d+(?=-|$)")
_OTHER_DOMAIN = "gymnasium"
_MAX_LISTED = 3  # seeds that a label lists one by one


def domain_name(task: str) -> str:
    """The domain of an environment; ``gymnasium`` for those of no domain."""
    domain = domain_of(task)
    return domain.name if domain else _OTHER_DOMAIN


def task_order(task: str) -> tuple[int, list[tuple[bool, int, str]]]:
    """A sort key: tasks by domain, in the order of the domains, then by name."""
    name = task.partition("/")[0]
    return NAMES.index(name) if name in NAMES else len(NAMES), natural_order(task)


def check_grouping(by: str) -> None:
    """Raise UsageError unless ``by`` is one of ``GROUPINGS``."""
    if by not in GROUPINGS:
        raise unknown("grouping", by, GROUPINGS)


def group_episodes(episodes: Iterable[EpisodeResult], by: str = "method") -> dict[tuple[str, str], list[EpisodeResult]]:
    """Group episodes by ``(dataset, method)``, or with ``by="run"`` by ``(dataset, run and settings)``.

    Runs of different recipes, or fine-tuned for different numbers of iterations, are not seeds of one method. If a
    method has several such kinds of runs, each kind is labelled by its runs.
    """
    check_grouping(by)
    kinds: dict[tuple[str, str], dict[Any, list[EpisodeResult]]] = defaultdict(lambda: defaultdict(list))
    for label, episode in _labelled(episodes, by):
        kinds[episode.dataset, label][episode.recipe, episode.iterations].append(episode)
    groups: dict[tuple[str, str], list[EpisodeResult]] = {}
    for (dataset, label), alike in kinds.items():
        labels = [label] if len(alike) == 1 else _kind_labels(list(alike.values()))
        groups |= {(dataset, own): group for own, group in zip(labels, alike.values(), strict=True)}
    return groups


def _labelled(episodes: Iterable[EpisodeResult], by: str) -> list[tuple[str, EpisodeResult]]:
    """Each episode with its label, which names the training data where one task is played after different ones.

    Models trained on different suites are no seeds of one method, even if a task of both has the same data.
    """
    labels = [(episode.method if by == "method" else episode.run_method, episode) for episode in episodes]
    data: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for label, episode in labels:
        data[episode.dataset, label].add(episode.trained_on)
    ambiguous = {key for key, names in data.items() if len(names - {None}) > 1}
    return [
        (f"{label} after {episode.trained_on}", episode)
        if (episode.dataset, label) in ambiguous and episode.trained_on
        else (label, episode)
        for label, episode in labels
    ]


def _kind_labels(kinds: Sequence[Sequence[EpisodeResult]]) -> list[str]:
    """Label each kind of one method; kinds of the same runs, planned before and after a resume, show iterations."""
    names = kind_names([{episode.run for episode in kind} for kind in kinds])
    labels = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        label = f"{name} {kind[0].settings_label}".strip()
        if names.count(name) > 1:
            iterations = kind[0].iterations
            label += f" ({index + 1})" if iterations is None else f" ({iterations} iterations)"
        labels.append(label)
    return labels


def kind_names(kinds: Sequence[Collection[str]]) -> list[str]:
    """Name each kind of runs: by their common name without seeds if no other kind has it, else by listing the runs.

    ``gpt-wide`` for the runs gpt-wide-s1 and gpt-wide-s2; ``gpt-s1,s2`` if gpt-s3 is of another kind.
    """
    stems = [{_SEED_IN_NAME.sub("", run, count=1) for run in kind} for kind in kinds]
    names = []
    for index, kind in enumerate(kinds):
        others = set().union(*stems[:index], *stems[index + 1 :])
        unique = len(kind) > 1 and len(stems[index]) == 1 and not stems[index] & others
        names.append(next(iter(stems[index])) if unique else _listed(sorted(kind, key=natural_order)))
    return names


def _listed(runs: Sequence[str]) -> str:
    """``gpt-s1``; for several seeds ``gpt-s1,s2`` or ``gpt-s1…s9``; for other names ``mine,yours`` or ``mine +4``."""
    stems = {_SEED_IN_NAME.sub("-s*", run, count=1) for run in runs}
    if len(runs) == 1 or len(stems) > 1:
        return ",".join(runs) if len(runs) <= _MAX_LISTED else f"{runs[0]} +{len(runs) - 1}"
    before, _, after = stems.pop().partition("-s*")
    seeds = [run[len(before) + 1 : len(run) - len(after)] for run in runs]
    return f"{before}-{','.join(seeds) if len(seeds) <= _MAX_LISTED else f'{seeds[0]}…{seeds[-1]}'}{after}"


def drop_repeats(group: Iterable[EpisodeResult]) -> tuple[list[EpisodeResult], list[str]]:
    """Leave out episodes of one method that repeat those of another run with the same seed and the same result.

    Returns:
        The other episodes, and a sentence for each run that repeats another.
    """
    first: dict[Any, EpisodeResult] = {}
    kept, repeats = [], {}
    for episode in group:
        key = (episode.replicate, episode.seed, episode.path.name, episode.return_, episode.steps)
        earlier = first.setdefault(key, episode)
        if episode.recipe is None or earlier.path.parent == episode.path.parent:
            kept.append(episode)
        else:
            repeats[episode.dataset, episode.run] = earlier.run
    return kept, [
        f"{dataset}: {run} repeats {earlier}, of the same recipe and seed: equal episodes count once"
        for (dataset, run), earlier in repeats.items()
    ]


def summarize_episodes(values: Sequence[float], episodes: Sequence[EpisodeResult]) -> Summary:
    """Summarize one number per episode of a group, such as its scores.

    The bootstrap's generator is seeded with the dataset and the method, so the interval does not depend on other groups
    and is the same in tables and plots.

    Args:
        values: ``(n,)``, at least one.
        episodes: the n episodes behind the values, of one dataset and method.
    """
    return summarize(values, [episode.replicate for episode in episodes], generator_of(episodes))


def generator_of(episodes: Sequence[EpisodeResult]) -> np.random.Generator:
    """The bootstrap's generator for episodes of one dataset and method."""
    return named_generator(episodes[0].dataset, episodes[0].method)

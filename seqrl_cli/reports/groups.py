"""Which episodes belong together: those of one recipe are seeds of one method, and equal ones count once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from seqrl_cli.reports.results import EpisodeResult
from seqrl_cli.reports.statistics import Summary, named_generator, summarize

_SEED_IN_NAME = re.compile(r"-s\d+(?=-|$)")
_MOST_NAMED = 3  # seeds that a row names one by one


def natural_order(text: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts H5 before H15."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]


def group_episodes(episodes: Iterable[EpisodeResult], by: str = "method") -> dict[tuple[str, str], list[EpisodeResult]]:
    """Episodes by ``(dataset, method)``, or by ``(dataset, run and settings)`` with ``by="run"``.

    Runs that were made by different recipes, or fine-tuned for another number of iterations, are not seeds of one
    method: where a method has several such kinds, each is named by its runs.
    """
    assert by in ("method", "run")
    kinds: dict[tuple[str, str], dict[Any, list[EpisodeResult]]] = defaultdict(lambda: defaultdict(list))
    for episode in episodes:
        label = episode.method if by == "method" else episode.run_method
        kinds[episode.dataset, label][episode.recipe, episode.iterations].append(episode)
    groups: dict[tuple[str, str], list[EpisodeResult]] = {}
    for (dataset, label), alike in kinds.items():
        labels = [label] if len(alike) == 1 else _kind_labels(list(alike.values()))
        groups |= {(dataset, own): group for own, group in zip(labels, alike.values(), strict=True)}
    return groups


def _kind_labels(kinds: Sequence[Sequence[EpisodeResult]]) -> list[str]:
    """A name for each kind of one method; one run that was played before and after it went on tells its iterations."""
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
    """A name for each kind of runs: the runs' own without their seeds, where no other kind has that; else all of them.

    ``gpt-wide`` for the runs gpt-wide-s1 and gpt-wide-s2, ``gpt-s1,s2`` where gpt-s3 is of another kind.
    """
    stems = [{_SEED_IN_NAME.sub("", run, count=1) for run in kind} for kind in kinds]
    names = []
    for index, kind in enumerate(kinds):
        others = set().union(*stems[:index], *stems[index + 1 :])
        clear = len(kind) > 1 and len(stems[index]) == 1 and not stems[index] & others
        names.append(next(iter(stems[index])) if clear else _listed(sorted(kind, key=natural_order)))
    return names


def _listed(runs: Sequence[str]) -> str:
    """``gpt-s1``; of several seeds ``gpt-s1,s2`` or ``gpt-s1…s9``; of other names ``mine,yours`` or ``mine +4``."""
    stems = {_SEED_IN_NAME.sub("-s*", run, count=1) for run in runs}
    if len(runs) == 1 or len(stems) > 1:
        return ",".join(runs) if len(runs) <= _MOST_NAMED else f"{runs[0]} +{len(runs) - 1}"
    before, _, after = stems.pop().partition("-s*")
    seeds = [run[len(before) + 1 : len(run) - len(after)] for run in runs]
    return f"{before}-{','.join(seeds) if len(seeds) <= _MOST_NAMED else f'{seeds[0]}…{seeds[-1]}'}{after}"


def drop_repeats(group: Iterable[EpisodeResult]) -> tuple[list[EpisodeResult], list[str]]:
    """Leave out episodes of one method that another run of the same seed has played to the very same end.

    Returns:
        What is left, and a sentence for each run that repeats another.
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

    The bootstrap's generator is made from the dataset and the method. So the interval is the same whatever other groups
    there are, and the same in tables and plots.

    Args:
        values: ``(n,)``, at least one.
        episodes: the n episodes of one dataset and method behind them.
    """
    first = episodes[0]
    return summarize(values, [episode.replicate for episode in episodes], named_generator(first.dataset, first.method))

"""Runs read for a plot: their episodes, and the method whose seeds they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrl_cli.reports.groups import kind_names
from seqrl_cli.reports.plot.run_curves import PlottedRun
from seqrl_cli.reports.provenance import recipe_of_run
from seqrl_cli.reports.results import read_results
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import read_record


def read_runs(
    folders: Iterable[RunFolder],
    by: str,
    on_warning: Callable[[str], None],
    axes: Mapping[Path, Mapping[str, str]] | None = None,
) -> list[PlottedRun]:
    """Runs with their episodes, and with the name and colour of their method.

    Args:
        folders: the runs.
        by: ``method`` joins runs that differ only in their seed, ``run`` keeps them apart.
        on_warning: receives a warning for each unreadable episode.
        axes: places on the axes of a sweep by run; None without a sweep.

    Raises:
        SeqrlError: a run's record cannot be read.
    """
    members: list[PlottedRun] = []
    recipes: list[tuple[str, str, str]] = []
    for run in folders:
        record = read_record(run.record)
        results = read_results(run.plans) if run.plans.is_dir() else None
        for warning in results.warnings if results else ():
            on_warning(warning)
        members.append(
            PlottedRun(run, record, results.episodes if results else (), axes=(axes or {}).get(run.path, {}))
        )
        # A run whose configuration cannot be read is a method by itself.
        recipes.append((record.dataset, record.arch, recipe_of_run(run, record) or str(run.path)))
    groups: dict[Any, list[PlottedRun]] = defaultdict(list)
    for member, recipe in zip(members, recipes, strict=True):
        groups[member.folder.path if by == "run" else recipe].append(member)
    names = _method_names(list(groups.values()), by)
    labelled = {
        id(member): replace(member, method=name, colour=colour)
        for colour, (name, group) in enumerate(zip(names, groups.values(), strict=True))
        for member in group
    }
    return [labelled[id(member)] for member in members]


def _method_names(groups: Sequence[Sequence[PlottedRun]], by: str) -> list[str]:
    """One name per group: its architecture if no other group has it, else a name made of its runs' names."""
    own = kind_names([[member.folder.path.name for member in group] for group in groups])
    archs = [(group[0].record.dataset, group[0].arch) for group in groups]
    several = len({dataset for dataset, _ in archs}) > 1
    names = []
    for runs, (dataset, arch) in zip(own, archs, strict=True):
        name = runs if by == "run" or archs.count((dataset, arch)) > 1 else arch
        names.append(f"{dataset} {name}" if several else name)
    return names

"""From what runs have logged and planned to one picture."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seqrl_cli.config.presets import load_config
from seqrl_cli.config.recipe import recipe_of
from seqrl_cli.console import Console
from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.reports.groups import kind_names, natural_order
from seqrl_cli.reports.plot.curves import Panel
from seqrl_cli.reports.plot.draw import is_drawn, plot_panels
from seqrl_cli.reports.plot.figure_formats import check_figure_format
from seqrl_cli.reports.plot.panels import KINDS, build_panels
from seqrl_cli.reports.plot.run_curves import PlottedRun
from seqrl_cli.reports.results import read_results
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import unfinished
from seqrl_cli.runs.store import RunStore


@dataclass(frozen=True)
class PlotRequest:
    """What ``seqrl plot`` was asked for.

    Attributes:
        runs: runs by path or name, or datasets and folders for all runs below them; none = the latest run.
        kinds: some of ``KINDS``; none = all that the runs have.
        by: ``method`` joins runs that differ only in their seed, ``run`` keeps them apart.
        output: a picture to write; None = one in the run's folder, or in the one that all runs are in.
    """

    runs: Sequence[str] = ()
    kinds: Sequence[str] = ()
    by: str = "method"
    output: Path | None = None


@dataclass(frozen=True)
class PlotReport:
    """What was drawn, where, and whether it had to be."""

    path: str
    fresh: bool
    panels: tuple[Panel, ...]

    def text(self) -> str:
        """One line for a person."""
        return self.path

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def plot_runs(store: RunStore, request: PlotRequest, console: Console, *, force: bool = False) -> PlotReport:
    """Draw runs.

    Raises:
        UsageError: an unknown kind or grouping, or a name that is no picture's.
        SeqrlError: there is no such run, or none that has what is asked for.
    """
    _, panels, output = _prepare(store, request, console)
    report = PlotReport(str(output), True, tuple(panels))
    if not force and is_drawn(panels, output):
        console.note(f"{output} is already there; --force draws it again")
        return replace(report, fresh=False)
    plot_panels(panels, output)
    return report


def show_plot(store: RunStore, request: PlotRequest, console: Console) -> None:
    """What ``plot`` would draw, for --dry-run."""
    members, panels, output = _prepare(store, request, console)
    facts = {
        "runs": [store.name_of(member.folder.path) for member in members],
        "shows": [panel.kind for panel in panels],
        "lines": list(dict.fromkeys(label for panel in panels for label in panel.labels)),
        "to": str(output),
        "there already": is_drawn(panels, output),
    }
    console.emit(facts)
    console.show_facts(facts)


def _prepare(store: RunStore, request: PlotRequest, console: Console) -> tuple[list[PlottedRun], list[Panel], Path]:
    """The runs, what they have to show, and where it goes."""
    for kind in request.kinds:
        if kind not in KINDS:
            raise unknown("kind of plot", kind, KINDS)
    if request.by not in ("method", "run"):
        raise unknown("grouping", request.by, ("method", "run"))
    if request.output is not None:
        check_figure_format(request.output)
    members = _members(find_runs(store, request.runs, console.warn), request.by, console.warn)
    found = {kind: panels for kind in request.kinds or KINDS if (panels := build_panels(kind, members))}
    missing = [kind for kind in dict.fromkeys(request.kinds) if kind not in found]
    if missing or not found:
        raise _nothing(store, members, missing)
    for member in members:
        if why := unfinished(member.folder, member.record):
            console.note(f"{store.name_of(member.folder.path)} {why}: it is drawn as far as it has got")
    output = request.output or _default_output([member.folder for member in members], request.kinds)
    return members, [panel for panels in found.values() for panel in panels], output


def _nothing(store: RunStore, members: Sequence[PlottedRun], missing: Sequence[str]) -> SeqrlError:
    """Why there is nothing to draw of some kinds, or nothing at all where ``missing`` is empty."""
    standing = {store.name_of(member.folder.path): unfinished(member.folder, member.record) for member in members}
    names = ", ".join(f"{name}, which {why}" if why else name for name, why in standing.items())
    if missing:
        return SeqrlError(f"there is no plot of {' or '.join(missing)} to make of {names}", _HINTS[missing[0]])
    hint = "`seqrl runs` shows how far each run is, and seqrl plot RUN draws another"
    return SeqrlError(
        f"nothing is logged or planned yet of {names}", hint if any(standing.values()) else "plan first: seqrl plan"
    )


_HINTS = {
    "loss": "`seqrl train` logs it",
    "online": "`seqrl finetune-online` logs it",
    **dict.fromkeys(("reward", "score", "time"), "plan first: seqrl plan"),
}


def find_runs(store: RunStore, names: Sequence[str], on_warning: Callable[[str], None]) -> list[RunFolder]:
    """Runs in the order they are named; a dataset or folder stands for all runs below it.

    Raises:
        SeqrlError: there is none of a name.
    """
    if not names:
        return [store.find(None, on_warning)]
    found: dict[Path, RunFolder] = {}
    for name in names:
        folders = [
            path for path in (Path(name), store.root / name) if path.is_dir() and not (path / "run.json").exists()
        ]
        below = []
        for runs, unreadable in (RunStore(folder).read_runs() for folder in folders):
            below += [run for run, _ in runs]
            for _, error in unreadable:
                on_warning(f"left out: {error.message}")
        for run in sorted(below, key=lambda run: natural_order(str(run.path))) or [store.find(name, on_warning)]:
            found.setdefault(run.path.resolve(), run)
    return list(found.values())


def _members(runs: Iterable[RunFolder], by: str, warn: Callable[[str], None]) -> list[PlottedRun]:
    """Runs with their results, and with the name and colour of what they are seeds of."""
    members, recipes = [], []
    for run in runs:
        record, results = read_record(run.record), read_results(run.plans) if run.plans.is_dir() else None
        for warning in results.warnings if results else ():
            warn(warning)
        members.append(PlottedRun(run, record, results.episodes if results else ()))
        recipes.append((record.dataset, record.arch, _recipe(run, record)))
    groups: dict[Any, list[PlottedRun]] = defaultdict(list)
    for member, recipe in zip(members, recipes, strict=True):
        groups[member.folder.path if by == "run" else recipe].append(member)
    names = _names(list(groups.values()), by)
    labelled = {
        id(member): replace(member, method=name, colour=colour)
        for colour, (name, group) in enumerate(zip(names, groups.values(), strict=True))
        for member in group
    }
    return [labelled[id(member)] for member in members]


def _recipe(run: RunFolder, record: RunRecord) -> str:
    """What a run shares with its other seeds; a run without a readable configuration is alone."""
    try:
        return recipe_of(load_config(run.config), fine_tuned=record.parent is not None)
    except SeqrlError:
        return str(run.path)


def _names(groups: Sequence[Sequence[PlottedRun]], by: str) -> list[str]:
    """A name a group: the architecture where that tells it from the others, else its runs'."""
    own = kind_names([[member.folder.path.name for member in group] for group in groups])
    archs = [(group[0].record.dataset, group[0].arch) for group in groups]
    several = len({dataset for dataset, _ in archs}) > 1
    names = []
    for runs, (dataset, arch) in zip(own, archs, strict=True):
        name = runs if by == "run" or archs.count((dataset, arch)) > 1 else arch
        names.append(f"{dataset} {name}" if several else name)
    return names


def _default_output(runs: Sequence[RunFolder], kinds: Sequence[str]) -> Path:
    """``plots/`` of the run, or of the folder that holds all the runs."""
    name = "-".join(dict.fromkeys(kinds)) or "all"
    common = runs[0].path if len(runs) == 1 else Path(os.path.commonpath([run.path.resolve() for run in runs]))
    return common / "plots" / f"{name}.png"

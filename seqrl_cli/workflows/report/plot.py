"""``seqrl plot``: draw curves of runs and of their plans."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.behaviour.shipped import common_reference
from seqrl_cli.config.resources import presets_folder
from seqrl_cli.console import Console, counted
from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.files.natural_order import natural_order
from seqrl_cli.reports.across_datasets import methods_across
from seqrl_cli.reports.continual_results import group_continual, names_of
from seqrl_cli.reports.continual_sources import continual_folders, read_continual_runs
from seqrl_cli.reports.groups import check_grouping
from seqrl_cli.reports.plot.across_panels import ACROSS_KINDS, build_across_panels
from seqrl_cli.reports.plot.continual_panels import CONTINUAL_KINDS, build_continual_panels
from seqrl_cli.reports.plot.curves import Panel
from seqrl_cli.reports.plot.draw import is_drawn, plot_panels
from seqrl_cli.reports.plot.figure_formats import check_figure_format
from seqrl_cli.reports.plot.panels import KINDS, build_panels
from seqrl_cli.reports.plot.read_runs import read_runs
from seqrl_cli.reports.plot.run_curves import PlottedRun
from seqrl_cli.reports.references import with_current_scores
from seqrl_cli.reports.table.published import load_published
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.status import unfinished
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import is_sweep, runs_of_sweep


@dataclass(frozen=True)
class PlotRequest:
    """Options of ``seqrl plot``.

    Attributes:
        store: the run directory.
        runs: runs by path or name, or sweeps, datasets and folders for all of their runs; none = the latest run.
        kinds: some of ``KINDS``; none = all that the runs have. Those of ``ACROSS_KINDS`` compare methods over several
            datasets, by default over everything in the run directory.
        by: ``method`` joins runs that differ only in their seed, ``run`` keeps them apart.
        output: the figure's file; None = one in the run's folder, or in the folder that contains all runs.
        force: replace an existing figure.
        published: draw the papers' averages beside ours.
    """

    store: RunStore
    runs: Sequence[str] = ()
    kinds: Sequence[str] = ()
    by: str = "method"
    output: Path | None = None
    force: bool = False
    published: bool = False


@dataclass(frozen=True)
class PlotReport:
    """Result of ``plot``: the figure's path, whether this command drew it, and its panels."""

    path: str
    fresh: bool
    panels: tuple[Panel, ...]

    def text(self) -> str:
        """One line for a person."""
        return self.path


def run(request: PlotRequest, console: Console) -> PlotReport:
    """Draw runs.

    Raises:
        UsageError: an unknown kind or grouping, or an output with an unknown extension.
        SeqrlError: there is no such run, or no run has data for the plot.
    """
    _, panels, output = _prepared(request, console)
    report = PlotReport(str(output), True, tuple(panels))
    if not request.force and is_drawn(panels, output):
        console.note(f"{output} already exists; --force draws it again")
        return replace(report, fresh=False)
    plot_panels(panels, output)
    return report


def dry_run(request: PlotRequest, console: Console) -> None:
    """Print what ``plot`` would draw.

    Raises:
        SeqrlError: as :func:`run` before it draws.
    """
    runs, panels, output = _prepared(request, console)
    facts = {
        "runs": runs,
        "shows": [panel.kind for panel in panels],
        "lines": list(dict.fromkeys(label for panel in panels for label in panel.labels)),
        "to": str(output),
        "already exists": is_drawn(panels, output),
    }
    console.emit(facts)
    console.show_facts(facts)


def _prepared(request: PlotRequest, console: Console) -> tuple[list[str], list[Panel], Path]:
    """Names of the runs, their panels, and the figure's path; of continual runs where those are asked for."""
    _check(request)
    if continual := _continual(request, console):
        return continual
    if set(request.kinds) & set(ACROSS_KINDS):
        return _across(request, console)
    runs, panels, output = _prepare(request, console)
    return [request.store.name_of(run.folder.path) for run in runs], panels, output


def _continual(request: PlotRequest, console: Console) -> tuple[list[str], list[Panel], Path] | None:
    """What :func:`_prepared` returns, of continual runs; None if other plots are asked for.

    Raises:
        SeqrlError: there are none of these runs.
    """
    store = request.store
    named = [path for name in request.runs for path in continual_folders(store, name)]
    kinds = list(request.kinds) or list(CONTINUAL_KINDS)
    if not set(kinds) <= set(CONTINUAL_KINDS):
        return None
    searched = named if request.runs else [store.root]
    if not request.kinds and (not searched or any(RunStore(folder).files_named("run.json") for folder in searched)):
        if named:
            _name_left_out(named, console)
        return None
    if lost := next((name for name in request.runs if not continual_folders(store, name)), None):
        raise SeqrlError(f"there is no folder {lost} in {store.root}", "`seqrl runs` lists continual runs")
    results = read_continual_runs(searched, console.warn)
    if not results and not request.kinds:
        return None
    groups = group_continual(results)
    panels = [panel for kind in kinds for panel in build_continual_panels(kind, groups)] if groups else []
    if not panels:
        places = ", ".join(map(str, searched))
        raise SeqrlError(f"no continual run in {places} has data of the kind {kinds[0]}", "learn: seqrl continual")
    output = request.output or _common(searched) / "plots" / f"{'-'.join(request.kinds) or 'continual'}.png"
    return [result.name for result in results], panels, output


def _name_left_out(folders: Sequence[Path], console: Console) -> None:
    """Print how to draw the continual runs of some folders, if they have any that can be read."""
    with suppress(SeqrlError):  # a damaged one is no matter to the plot of other runs
        others = read_continual_runs(folders, lambda _: None)
        if others:
            number = counted(len(others), "continual run")
            console.note(f"left out: {number}, in plots of their own: seqrl plot {names_of(others)}")


def _across(request: PlotRequest, console: Console) -> tuple[list[str], list[Panel], Path]:
    """What :func:`_prepared` returns, for methods over several datasets.

    Raises:
        SeqrlError: nothing has a normalized score.
    """
    store = request.store
    folders = find_runs(store, request.runs, console.warn) if request.runs else [run for run, _ in store.runs()]
    runs = _scored(store, read_runs(folders, request.by, console.warn))
    episodes = [episode for run in runs for episode in run.episodes]
    published = load_published(presets_folder() / "published") if request.published else ()
    panels = [panel for kind in request.kinds for panel in build_across_panels(kind, episodes, published)]
    if not panels:
        words = common_reference(episode.env_id for episode in episodes)
        hint = f"plan first: seqrl plan; own data need references: seqrl download DATASET --reference {words}"
        raise SeqrlError(f"no planned episode with a normalized score in {store.root}", hint)
    for note in methods_across(episodes).notes:
        console.note(note)
    names = [store.name_of(run.folder.path) for run in runs if run.episodes]
    output = request.output or store.root / "plots" / f"{'-'.join(dict.fromkeys(request.kinds))}.png"
    return names, panels, output


def _scored(store: RunStore, runs: Sequence[PlottedRun]) -> list[PlottedRun]:
    """The runs, with their episodes scored by the references that own data have now."""
    names = sorted({episode.dataset for run in runs for episode in run.episodes})
    datasets = [dataset for name in names if (dataset := find_stored(store, name))]
    return [replace(run, episodes=with_current_scores(run.episodes, datasets)) for run in runs]


def _prepare(request: PlotRequest, console: Console) -> tuple[list[PlottedRun], list[Panel], Path]:
    """The runs, their panels, and the figure's path.

    Raises:
        SeqrlError: as :func:`run`.
    """
    store = request.store
    members = read_runs(find_runs(store, request.runs, console.warn), request.by, console.warn, _axes_of(request))
    runs = _scored(store, members)
    found = {kind: panels for kind in request.kinds or KINDS if (panels := build_panels(kind, runs))}
    missing = [kind for kind in dict.fromkeys(request.kinds) if kind not in found]
    if not found:
        raise _nothing_to_plot(store, runs, missing)
    if missing:
        console.warn(_nothing_to_plot(store, runs, missing).message)
    for run in runs if found.keys() & _OF_TRAINING else ():
        if status := unfinished(run.folder, run.record):
            console.note(f"{store.name_of(run.folder.path)} {status}: the plot shows it up to now")
    output = request.output or _default_output([run.folder for run in runs], request.kinds)
    return runs, [panel for panels in found.values() for panel in panels], output


def _check(request: PlotRequest) -> None:
    """Check the options' values.

    Raises:
        UsageError: a value is unknown.
    """
    for kind in request.kinds:
        if kind not in (*KINDS, *ACROSS_KINDS, *CONTINUAL_KINDS):
            raise unknown("kind of plot", kind, (*KINDS, *ACROSS_KINDS, *CONTINUAL_KINDS))
    groups = [kinds for kinds in (KINDS, ACROSS_KINDS, CONTINUAL_KINDS) if set(request.kinds) & set(kinds)]
    if len(groups) > 1:
        asked = f"{request.kinds[0]} and {next(kind for kind in request.kinds if kind not in groups[0])}"
        message = "plots of runs, over datasets, and of continual runs are figures of their own"
        raise UsageError(f"{message}: {asked}", "plot them one by one")
    if request.published and request.kinds != ["average"]:
        raise UsageError("--published adds to the plot of averages only", "seqrl plot -k average --published")
    check_grouping(request.by)
    if request.output is not None:
        check_figure_format(request.output)


def _nothing_to_plot(store: RunStore, runs: Sequence[PlottedRun], missing: Sequence[str]) -> SeqrlError:
    """The error for kinds that no run has, or, if ``missing`` is empty, for runs without any data to draw."""
    statuses = {store.name_of(run.folder.path): unfinished(run.folder, run.record) for run in runs}
    names = ", ".join(f"{name}, which {status}" if status else name for name, status in statuses.items())
    if missing:
        return SeqrlError(
            f"there is nothing of the kind {' or '.join(missing)} to plot for {names}", _HINTS[missing[0]]
        )
    hint = "plan first: seqrl plan"
    if any(statuses.values()):
        hint = "`seqrl runs` shows how far each run is, and seqrl plot RUN draws another"
    return SeqrlError(f"nothing has been logged or planned yet for {names}", hint)


_OF_TRAINING = {"loss", "evaluation", "online"}
"""Kinds that show how far training is; the others show plans, which are there or not."""

_HINTS = {
    "axis": "it needs a sweep, by its name, whose axes have several values, and plans or a validation loss",
    "loss": "`seqrl train` logs it",
    "evaluation": "`seqrl train --eval-every N` logs it",
    "online": "`seqrl finetune-online` logs it",
    **dict.fromkeys(("reward", "score", "time"), "plan first: seqrl plan"),
}


def find_runs(store: RunStore, names: Sequence[str], on_warning: Callable[[str], None]) -> list[RunFolder]:
    """Runs in the order in which they are named; a dataset or folder stands for all runs below it.

    Raises:
        SeqrlError: no run matches a name.
    """
    if not names:
        return [store.find(None, on_warning)]
    found: dict[Path, RunFolder] = {}
    for name in names:
        if is_sweep(store, name):
            found |= {run.path.resolve(): run for run, _ in runs_of_sweep(store, name)}
            continue
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


def _axes_of(request: PlotRequest) -> dict[Path, dict[str, str]]:
    """The place on a sweep's axes of each run of the sweeps that are named."""
    store = request.store
    sweeps = [name for name in request.runs if is_sweep(store, name)]
    return {run.path: member.values for name in sweeps for run, member in runs_of_sweep(store, name)}


def _default_output(runs: Sequence[RunFolder], kinds: Sequence[str]) -> Path:
    """A PNG in ``plots/`` of the run, or of the folder that contains all runs."""
    name = "-".join(dict.fromkeys(kinds)) or "all"
    return _common([run.path for run in runs]) / "plots" / f"{name}.png"


def _common(folders: Sequence[Path]) -> Path:
    """The folder, or the one that contains all."""
    if len(folders) == 1:
        return folders[0]
    common = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    return common if folders[0].is_absolute() else Path(os.path.relpath(common))  # as all other paths are printed

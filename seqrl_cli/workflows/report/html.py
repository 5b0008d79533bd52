"""``seqrl report``: tables, plots, differences and videos of runs in one HTML file that needs no network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqrl_cli import __version__
from seqrl_cli.config.extras import install_line, is_installed
from seqrl_cli.config.owners import without_foreign_keys
from seqrl_cli.config.presets import load_config
from seqrl_cli.console import Console, counted
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.files.regular import TooLargeError, read_bytes
from seqrl_cli.reports.continual_results import ContinualGroup, ContinualResult, group_continual
from seqrl_cli.reports.continual_sources import continual_folders, has_only_continual, read_continual_runs
from seqrl_cli.reports.groups import check_grouping
from seqrl_cli.reports.html.figures import figures_of
from seqrl_cli.reports.html.page import HtmlTable, Section, figure, is_page, media, page, paragraph
from seqrl_cli.reports.html.tables import differences_table, results_table, runs_table
from seqrl_cli.reports.plot.continual_panels import CONTINUAL_KINDS, build_continual_panels
from seqrl_cli.reports.plot.curves import Panel
from seqrl_cli.reports.plot.draw import plot_panels
from seqrl_cli.reports.plot.panels import KINDS, build_panels
from seqrl_cli.reports.plot.read_runs import read_runs
from seqrl_cli.reports.references import with_current_scores
from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.table.continual import build_continual_table, continual_cells
from seqrl_cli.reports.table.stored import stored_datasets, table_of_stored
from seqrl_cli.reports.table.text import to_rows
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import read_training_lines
from seqrl_cli.workflows.report.plot import find_runs

SUFFIXES = (".html", ".htm")
MAX_VIDEO_BYTES = 24 * 2**20
"""Size of all videos together; browsers open larger pages slowly."""

_VIDEOS = {".gif": "image/gif", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class HtmlRequest:
    """Options of ``seqrl report``.

    Attributes:
        store: the run directory.
        runs: runs by path or name, or datasets and folders for all runs below them; none = all runs.
        output: the file; None = ``report.html``.
        by: ``method`` joins runs that differ only in their seed, ``run`` keeps them apart.
        title: title of the page; None = the names of what it shows.
        force: also replace a file that is no report; a report is replaced in any case, as by ``table`` and ``plot``.
    """

    store: RunStore
    runs: Sequence[str] = ()
    output: Path | None = None
    by: str = "method"
    title: str | None = None
    force: bool = False


@dataclass(frozen=True)
class HtmlReport:
    """Result of ``report``: the file and what it shows."""

    path: str
    runs: list[str]
    episodes: int
    figures: int
    videos: int
    fresh: bool
    continual: list[str]

    def text(self) -> str:
        """One line for a person."""
        return self.path


@dataclass(frozen=True)
class _Content:
    """What a report shows, and the page."""

    report: HtmlReport
    html: str


def run(request: HtmlRequest, console: Console) -> HtmlReport:
    """Write the report.

    Raises:
        UsageError: the file's name is not that of a page, or the grouping is unknown.
        SeqrlError: there is no such run, the file cannot be written, or it exists and is no report.
    """
    output = _output(request)
    if output.exists() and not request.force and not is_page(output):
        raise SeqrlError(
            f"{output} exists and is not known to be a report", "replace it with --force, or choose another -o"
        )
    content = _content(request, output, console)
    write_text_atomic(output, content.html)
    return replace(content.report, fresh=True)


def dry_run(request: HtmlRequest, console: Console) -> None:
    """Print what the report would show.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    report = _content(request, _output(request), console).report
    facts: dict[str, Any] = {"runs": report.runs, "continual": report.continual, "episodes": report.episodes}
    facts |= {"figures": report.figures, "videos": report.videos, "to": report.path}
    console.emit(facts)
    console.show_facts(facts)


def _output(request: HtmlRequest) -> Path:
    output = request.output or Path("report.html")
    if output.suffix.lower() not in SUFFIXES:
        page = output.with_suffix(".html") if output.name else output / "report.html"
        raise UsageError(f"{output} is not the name of a page", f"choose {page}")
    return output


def _content(request: HtmlRequest, output: Path, console: Console) -> _Content:
    check_grouping(request.by)
    store = request.store
    learned = group_continual(_continual(request, console))
    folders = _folders(request, bool(learned), console)
    names = [store.name_of(folder.path) for folder in folders]
    read = [(name, folder, read_record(folder.record)) for name, folder in zip(names, folders, strict=True)]
    results, episodes = _results(request, folders, console)
    panels = _panels(folders, request.by, console)
    matrices = [panel for kind in CONTINUAL_KINDS for panel in build_continual_panels(kind, learned)] if learned else []
    library = _library(console) if panels or matrices else None
    plots = _figures(panels, library)
    heat_maps = _figures(matrices, library, first=len(plots))
    videos = _videos(read, console)
    sections = [
        Section("results", "Results", results),
        Section("plots", "Plots", plots),
        Section("continual", "Tasks learned one after the other", _learned_table(learned) + heat_maps),
        Section("runs", "Runs", _runs(read)),
        Section("differences", "In what the configurations differ", _differences(read)),
        Section("videos", "Videos", [f'<div class="videos">{"".join(videos)}</div>'] if videos else []),
        Section("versions", "Versions", [paragraph(line) for line in _versions(read)]),
    ]
    title = request.title or (
        ", ".join(request.runs)
        if request.runs
        else f"Runs in {store.root.resolve().parent.name}/{store.root.resolve().name}"
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    continual = [f"{result.record.suite}/{result.name}" for group in learned for result in group.results]
    counts = [counted(len(read), "run"), *([counted(len(continual), "continual run")] if continual else [])]
    about = [f"{', '.join([*counts, counted(episodes, 'planned episode')])}. Made by seqrl {__version__}, {made}."]
    figures = len(plots) + len(heat_maps)
    report = HtmlReport(str(output), names, episodes, figures, len(videos), fresh=False, continual=continual)
    return _Content(report, page(title, about, sections, library if figures else None))


def _continual(request: HtmlRequest, console: Console) -> list[ContinualResult]:
    """The finished continual runs among what is named, by default in the run directory."""
    store = request.store
    named = [folder for name in request.runs for folder in continual_folders(store, name)]
    return read_continual_runs(named if request.runs else [store.root], console.warn)


def _folders(request: HtmlRequest, has_continual: bool, console: Console) -> list[RunFolder]:
    """All other runs.

    Raises:
        SeqrlError: there is nothing to show; the error is that of every other command.
    """
    store = request.store
    everything = [str(store.root)] if store.runs() else []
    others = [name for name in request.runs if not has_only_continual(store, name)] if request.runs else everything
    return [] if has_continual and not others else find_runs(store, others or request.runs, console.warn)


def _learned_table(groups: Sequence[ContinualGroup]) -> list[str]:
    """The table of continual runs with its notes."""
    if not groups:
        return []
    table = build_continual_table(groups)
    header, rows = continual_cells(table)
    return [HtmlTable(header, rows, frozenset(range(1, len(header)))).html(), *map(paragraph, table.notes)]


def _runs(read: Sequence[tuple[str, RunFolder, RunRecord]]) -> list[str]:
    return [runs_table([(name, record, _last(run)) for name, run, record in read]).html()] if read else []


def _results(request: HtmlRequest, folders: Sequence[RunFolder], console: Console) -> tuple[list[str], int]:
    """The table of results with its notes, and the number of episodes."""
    found = read_results(*(folder.path for folder in folders))
    for warning in found.warnings:
        console.warn(warning)
    if not found.episodes:
        return [] if not folders else [paragraph("No episode has been planned yet: seqrl plan")], 0
    datasets = stored_datasets(request.store, found.episodes)
    table = table_of_stored(with_current_scores(found.episodes, datasets), datasets, by=request.by)
    return [results_table(to_rows(table)).html(), *map(paragraph, table.notes)], len(found.episodes)


def _panels(folders: Sequence[RunFolder], by: str, console: Console) -> list[Panel]:
    runs = read_runs(folders, by, console.warn)
    return [panel for kind in KINDS for panel in build_panels(kind, runs)]


def _library(console: Console) -> str | None:
    """The JavaScript of plotly; None if it is not installed."""
    if not is_installed("report"):
        console.note(f"the plots are pictures; for interactive ones: {install_line('report')}")
        return None
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.replace("</script", "<\\/script")


def _figures(panels: Sequence[Panel], library: str | None, first: int = 0) -> list[str]:
    """Interactive figures, numbered from the first; without the library one picture of all panels."""
    if not panels:
        return []
    if library is not None:
        return [figure(*content[:2], number, content[2]) for number, content in enumerate(figures_of(panels), first)]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "plots.svg"
        plot_panels(panels, picture)
        return [media("the plots", "image/svg+xml", picture.read_bytes())]


def _last(run: RunFolder) -> dict[str, Any]:
    """The last logged numbers of a run."""
    lines: list[Any] = []
    with suppress(SeqrlError):
        lines = list(read_training_lines(run.metrics))
    validated = [loss for line in lines if (loss := line.get("validation_loss")) is not None]
    if not lines:
        return {}
    return {"step": lines[-1].step, "loss": lines[-1].loss, "validation_loss": validated[-1] if validated else None}


def _differences(read: Sequence[tuple[str, RunFolder, RunRecord]]) -> list[str]:
    configs = {}
    for name, folder, _ in read:
        with suppress(SeqrlError):
            config = load_config(folder.config)
            values = config.model_dump(mode="json", exclude={"finetune": {"parent_recipe"}})
            configs[name] = without_foreign_keys(values, config.model.arch)
    table = differences_table(configs)
    return [table.html()] if table else []


def _videos(read: Sequence[tuple[str, RunFolder, RunRecord]], console: Console) -> list[str]:
    """Videos that ``seqrl render`` wrote, as many as fit, the newest of each run first."""
    found, left = [], MAX_VIDEO_BYTES
    for name, folder, _ in read:
        paths = [path for path in folder.videos.glob("*") if path.suffix.lower() in _VIDEOS and path.is_file()]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                data = read_bytes(path, left)
            except TooLargeError:
                console.warn(
                    f"{path} is left out: the videos of a report have {MAX_VIDEO_BYTES / 2**20:.0f} MiB at most"
                )
                continue
            left -= len(data)
            found.append(media(f"{name}: {path.stem}", _VIDEOS[path.suffix.lower()], data))
    return found


def _versions(read: Sequence[tuple[str, RunFolder, RunRecord]]) -> list[str]:
    """Versions and machines, each kind once."""
    lines = [
        ", ".join([*(f"{name} {text}" for name, text in record.versions.items()), f"on {record.device}"])
        for _, _, record in read
    ]
    return list(dict.fromkeys(lines))

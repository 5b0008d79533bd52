"""``seqrl table``: a table of planned episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole

from seqrl_cli.config.resources import presets_folder
from seqrl_cli.console import Console, counted
from seqrl_cli.errors import SeqrlError, UsageError, unknown
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.reports.continual_results import ContinualGroup, group_continual, names_of
from seqrl_cli.reports.continual_sources import read_continual_runs
from seqrl_cli.reports.references import with_current_scores
from seqrl_cli.reports.results import EpisodeResult, read_results
from seqrl_cli.reports.table.aggregate import build_aggregate_table
from seqrl_cli.reports.table.aggregate_formats import (
    aggregate_csv,
    aggregate_latex,
    aggregate_markdown,
    aggregate_records,
    print_aggregate_table,
)
from seqrl_cli.reports.table.build import SORTS
from seqrl_cli.reports.table.continual import (
    build_continual_table,
    continual_csv,
    continual_latex,
    continual_markdown,
    continual_records,
    print_continual_table,
)
from seqrl_cli.reports.table.continual_tasks import (
    build_task_rows,
    print_task_rows,
    task_rows_csv,
    task_rows_latex,
    task_rows_markdown,
    task_rows_notes,
    task_rows_records,
)
from seqrl_cli.reports.table.latex import CELLS, LatexOptions, to_latex
from seqrl_cli.reports.table.published import load_published
from seqrl_cli.reports.table.stored import own_scales, stored_datasets, table_of_stored
from seqrl_cli.reports.table.task_formats import print_task_table, task_csv, task_latex, task_markdown, task_records
from seqrl_cli.reports.table.tasks import build_task_table
from seqrl_cli.reports.table.terminal import print_table
from seqrl_cli.reports.table.text import to_csv, to_markdown, to_rows
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import is_sweep, runs_of_sweep

FORMATS = ("terminal", "markdown", "latex", "csv")
BY_TASK = ("task", "domain")
AGGREGATE = "aggregate"
GROUPINGS = ("method", "run", *BY_TASK, AGGREGATE)
SUFFIXES = {".csv": "csv", ".tex": "latex", ".md": "markdown", ".txt": "markdown"}


@dataclass(frozen=True)
class TableRequest:
    """Options of ``seqrl table``.

    Attributes:
        store: the run directory.
        sources: runs (by path or name), sweeps, datasets or folders of plans; none = everything in the run directory.
        format: one of ``FORMATS``.
        published: add the papers' results.
        output: file to write; None = stdout.
        by: ``method`` joins the seeds of one architecture and setting, ``run`` keeps them apart; ``task`` and
            ``domain`` summarize runs of many tasks; ``aggregate`` summarizes methods over all datasets.
        sort: ``name``, or a column of ``SORTS`` by which the methods of each dataset are ordered, best first.
        latex: what the cells of LaTeX show, its label and its caption.
    """

    store: RunStore
    sources: Sequence[Path] = ()
    format: str = "terminal"
    published: bool = False
    output: Path | None = None
    by: str = "method"
    sort: str = "name"
    latex: LatexOptions = LatexOptions()


@dataclass(frozen=True)
class TableReport:
    """Result of ``table``: its rows and notes, and the file that was written."""

    rows: list[dict[str, Any]]
    notes: tuple[str, ...]
    output: str | None

    def text(self) -> str:
        """One line per row; :func:`run` itself prints the whole table."""
        return "\n".join(", ".join(f"{key} {value}" for key, value in row.items()) for row in self.rows)


def run(request: TableRequest, console: Console) -> TableReport:
    """Read plans, summarize them and print or write the table.

    Raises:
        UsageError: an unknown format.
        SeqrlError: no plan was found, or a source does not exist.
    """
    _check(request)
    store = request.store
    if groups := _continual_groups(request, console):
        return _of_continual(groups, request, console)
    episodes = _read_episodes(request, console)
    if request.by in BY_TASK:
        return _by_task(episodes, request, console)
    datasets = stored_datasets(store, episodes)
    episodes = with_current_scores(episodes, datasets)
    if request.by == AGGREGATE:
        return _aggregated(episodes, own_scales(datasets), request, console)
    published = load_published(presets_folder() / "published") if request.published else ()
    report = table_of_stored(episodes, datasets, by=request.by, sort=request.sort, published=published)
    writers = {
        "markdown": to_markdown,
        "csv": to_csv,
        "latex": lambda report: to_latex(report.comparison, request.latex),
    }
    _print_or_write(request, console, partial(print_table, report), lambda style: writers[style](report))
    return TableReport(to_rows(report), report.notes, str(request.output) if request.output else None)


def _check(request: TableRequest) -> None:
    """Raise UsageError if the options' values are unknown, or do not go together."""
    for name, value, known in (
        ("format", request.format, FORMATS),
        ("grouping", request.by, GROUPINGS),
        ("order", request.sort, SORTS),
        ("kind of cells", request.latex.cells, CELLS),
    ):
        if value not in known:
            raise unknown(name, value, known)
    if request.by in (*BY_TASK, AGGREGATE) and request.published:
        raise UsageError(f"published results are by dataset, not by {request.by}", "leave out --published or --by")
    if request.output is not None and request.format == "terminal" and request.output.suffix.lower() not in SUFFIXES:
        hint = f"use {', '.join(SUFFIXES)}, or name the --format"
        raise UsageError(f"{request.output} has no suffix of a table", hint)


def _aggregated(
    episodes: Sequence[EpisodeResult], scales: Mapping[str, str], request: TableRequest, console: Console
) -> TableReport:
    table = build_aggregate_table(episodes, [f"scores of {dataset}: {scale}" for dataset, scale in scales.items()])
    options = request.latex
    writers = {
        "markdown": aggregate_markdown,
        "csv": aggregate_csv,
        "latex": lambda table: aggregate_latex(table, options.label, options.caption),
    }
    _print_or_write(request, console, partial(print_aggregate_table, table), lambda style: writers[style](table))
    return TableReport(aggregate_records(table), table.notes, str(request.output) if request.output else None)


def _by_task(episodes: Sequence[EpisodeResult], request: TableRequest, console: Console) -> TableReport:
    table = build_task_table(episodes, request.by)
    writers = {"markdown": task_markdown, "csv": task_csv, "latex": task_latex}
    _print_or_write(request, console, partial(print_task_table, table), lambda style: writers[style](table))
    return TableReport(task_records(table), table.notes, str(request.output) if request.output else None)


def _of_continual(groups: Sequence[ContinualGroup], request: TableRequest, console: Console) -> TableReport:
    """The table of methods; of each method's tasks one by one if the table is by task."""
    if request.by not in ("method", "task"):
        raise UsageError(f"runs that learned tasks in turn have no table by {request.by}", "use --by method or task")
    table = build_continual_table(groups)
    if request.by == "task":
        return _of_continual_tasks(groups, continual_records(table), request, console)
    writers = {"markdown": continual_markdown, "csv": continual_csv, "latex": continual_latex}
    _print_or_write(request, console, partial(print_continual_table, table), lambda style: writers[style](table))
    return TableReport(continual_records(table), table.notes, str(request.output) if request.output else None)


def _of_continual_tasks(
    groups: Sequence[ContinualGroup], methods: list[dict[str, Any]], request: TableRequest, console: Console
) -> TableReport:
    """The table of tasks; the report has the methods, each with its tasks."""
    rows = build_task_rows(groups)
    writers = {"markdown": task_rows_markdown, "csv": task_rows_csv, "latex": task_rows_latex}
    _print_or_write(request, console, partial(print_task_rows, rows), lambda style: writers[style](rows))
    tasks = task_rows_records(rows)
    named = itemgetter("method", "cut_after")
    found = [{**one, "tasks": [task for task in tasks if named(task) == named(one)]} for one in methods]
    return TableReport(found, task_rows_notes(rows), str(request.output) if request.output else None)


def _continual_groups(request: TableRequest, console: Console) -> list[ContinualGroup]:
    """Continual runs of the sources; none where runs were planned, unless a table by task of named ones is wanted."""
    if request.published:
        return []
    folders = _folders(request, console)
    sentences: list[str] = []
    found = read_continual_runs(folders, sentences.append)
    by_task = request.by == "task" and request.sources
    if not found or (not by_task and read_results(*folders).episodes):
        if found:
            number = counted(len(found), "continual run")
            console.note(f"left out: {number}, in tables of their own: seqrl table {names_of(found)}")
        return []
    for sentence in sentences:
        console.warn(sentence)
    return group_continual(found)


def dry_run(request: TableRequest, console: Console) -> TableReport:
    """Print the table without writing a file; arguments, result and errors as for :func:`run`."""
    return run(replace(request, output=None), console)


def _read_episodes(request: TableRequest, console: Console) -> tuple[EpisodeResult, ...]:
    """The episodes of all sources.

    Raises:
        SeqrlError: there are none, or a source does not exist.
    """
    folders = _folders(request, console)
    results = read_results(*folders)
    for warning in results.warnings:
        console.warn(warning)
    if not results.episodes and not request.published:
        searched = ", ".join(str(folder) for folder in folders) or str(request.store.root)
        raise SeqrlError(f"no planned episodes in {searched}", "plan some first: seqrl plan")
    return results.episodes


def _folders(request: TableRequest, console: Console) -> list[Path]:
    """The folders of all sources, by default the run directory; a sweep stands for its runs."""
    store = request.store
    if not request.sources:
        return [store.root] if store.root.is_dir() else []
    folders = []
    for source in request.sources:
        if is_sweep(store, str(source)):
            folders += [run.path for run, _ in runs_of_sweep(store, str(source))]
        else:
            folders.append(_folder(store, source, console.warn))
    return folders


def _folder(store: RunStore, source: Path, on_warning: Callable[[str], None]) -> Path:
    """A folder by its path or its name below the root (a dataset's has all its runs), else a run by its name."""
    folder = next((path for path in (source, store.root / source) if path.is_dir()), None)
    return folder or store.find_continual(str(source)) or store.find(str(source), on_warning).path


def _print_or_write(
    request: TableRequest, console: Console, show: Callable[[RichConsole], None], text: Callable[[str], str]
) -> None:
    """Print a table, or write it to the requested file.

    Args:
        request: format and file.
        console: prints.
        show: prints it on a terminal.
        text: the table in one of the other formats.
    """
    if request.format == "terminal" and request.output is None:
        console.show_with(show)
        return
    style = request.format
    if style == "terminal":  # the extension of the file decides
        style = SUFFIXES[request.output.suffix.lower()] if request.output else "markdown"
    if request.output is None:
        console.show(text(style).rstrip("\n"))
        return
    write_text_atomic(request.output, text(style))
    console.note(f"wrote {request.output}")

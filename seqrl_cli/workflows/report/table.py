"""From plan JSONs to a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.locate import locate
from seqrl_cli.behaviour.library import list_families, load_behaviour
from seqrl_cli.config.resources import presets_folder
from seqrl_cli.console import Console
from seqrl_cli.envs.scores import normalized_score
from seqrl_cli.errors import SeqrlError, unknown
from seqrl_cli.reports.results import EpisodeResult, read_results
from seqrl_cli.reports.statistics import summarize
from seqrl_cli.reports.table.build import ReferenceRow, ResultsTable, build_table
from seqrl_cli.reports.table.latex import to_latex
from seqrl_cli.reports.table.published import load_published
from seqrl_cli.reports.table.terminal import print_table
from seqrl_cli.reports.table.text import to_csv, to_markdown, to_rows
from seqrl_cli.runs.atomic import write_text_atomic
from seqrl_cli.runs.store import RunStore

FORMATS = ("terminal", "markdown", "latex", "csv")
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class TableRequest:
    """What ``seqrl table`` was asked for.

    Attributes:
        sources: runs (by path or name), datasets or folders of plans; none = everything in the run directory.
        style: one of ``FORMATS``.
        published: set the papers' figures beside ours.
        output: file to write; None = stdout.
        by: ``method`` joins the seeds of one architecture and setting, ``run`` keeps them apart.
    """

    sources: Sequence[Path] = ()
    style: str = "terminal"
    published: bool = False
    output: Path | None = None
    by: str = "method"


@dataclass(frozen=True)
class TableReport:
    """Rows for --json, and where they were written."""

    rows: list[dict[str, Any]]
    notes: tuple[str, ...]
    output: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same for --json."""
        return asdict(self)


def tabulate(store: RunStore, request: TableRequest, console: Console) -> TableReport:
    """Read plans, sum them up and print or write the table.

    Raises:
        UsageError: an unknown format.
        SeqrlError: no plan was found, or a source does not exist.
    """
    if request.style not in FORMATS:
        raise unknown("format", request.style, FORMATS)
    if request.by not in ("method", "run"):
        raise unknown("grouping", request.by, ("method", "run"))
    episodes = _episodes(store, request, console)
    names = sorted({episode.dataset for episode in episodes})
    located = [locate(store, name) for name in names if store.dataset(name).dataset.exists()]
    report = build_table(
        episodes,
        by=request.by,
        references=[row for one in located for row in (_behaviour(one), *_random_policy(one))],
        published=load_published(presets_folder() / "published") if request.published else (),
        notes=[note for one in located for note in _claims(one)],
    )
    _deliver(report, request, console)
    return TableReport(to_rows(report), report.notes, str(request.output) if request.output else None)


def _episodes(store: RunStore, request: TableRequest, console: Console) -> tuple[EpisodeResult, ...]:
    folders = [_folder(store, source, console.warn) for source in request.sources]
    if not folders and store.root.is_dir():
        folders = [store.root]
    results = read_results(*folders)
    for warning in results.warnings:
        console.warn(warning)
    if not results.episodes and not request.published:
        where = ", ".join(str(folder) for folder in folders) or str(store.root)
        raise SeqrlError(f"no planned episodes in {where}", "plan some first: seqrl plan")
    return results.episodes


def _folder(store: RunStore, source: Path, on_warning: Callable[[str], None]) -> Path:
    """A folder by its path or by its name below the root (a dataset's holds all its runs), else a run by its name."""
    below = next((path for path in (source, store.root / source) if path.is_dir()), None)
    return below or store.find(str(source), on_warning).path


def _claims(located: DatasetRef) -> list[str]:
    """What a score of the behaviour in a user's own file rests on."""
    env_id = located.env_id
    if located.file.read().source != "file" or located.reference_scores is None:
        return []
    return [f"{located.id}: its behaviour is scored by the rewards in the file, as if they were those of {env_id}"]


def _behaviour(located: DatasetRef) -> ReferenceRow:
    """The policy that made the dataset, by the dataset's own episodes."""
    returns = located.load_episodes().returns
    references = located.reference_scores
    row = ReferenceRow(located.id, "behaviour (dataset)", float(returns.mean()), None, len(returns))
    if references is None:
        return row
    scores = normalized_score(returns, *references)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    interval = summarize(list(100 * scores), [""] * len(scores), rng).mean_interval
    return replace(row, score=float(scores.mean()), interval=interval)


def _random_policy(located: DatasetRef) -> list[ReferenceRow]:
    """The random policy's return as it was measured for our own random dataset of the same environment."""
    env_id = located.env_id
    for family in list_families():
        behaviour = load_behaviour(family)
        if behaviour.env_id == env_id:
            random = behaviour.datasets["random"]
            percent = located.percent_score(random["mean_return"])
            score = None if percent is None else percent / 100
            episodes = round(random["transitions"] / random["mean_length"])
            return [ReferenceRow(located.id, "random policy", random["mean_return"], score, episodes)]
    return []


def _deliver(report: ResultsTable, request: TableRequest, console: Console) -> None:
    if request.style == "terminal" and request.output is None:
        console.show_with(lambda rich: print_table(report, rich))
        return
    styles = {"markdown": to_markdown, "csv": to_csv, "latex": lambda report: to_latex(report.comparison)}
    by_suffix = {".csv": "csv", ".tex": "latex"}.get(request.output.suffix if request.output else "", "markdown")
    text = styles[by_suffix if request.style == "terminal" else request.style](report)
    if request.output is None:
        console.show(text.rstrip("\n"))
        return
    write_text_atomic(request.output, text)
    console.note(f"wrote {request.output}")

"""``seqrl table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import voice

Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN | DATASET | FOLDER",
        help="Runs, datasets (all their runs) or folders of plans (default: all there is).",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Style = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="terminal, markdown, latex or csv.",
        autocompletion=complete.one_of("terminal", "markdown", "latex", "csv"),
    ),
]
Published = Annotated[bool, typer.Option("--published", help="Add the papers' figures beside yours.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to a file; .csv, .tex and .md choose the format."),
]


def table(
    sources: Sources = None,
    style: Style = "terminal",
    by: options.By = "method",
    published: Published = False,
    output: Output = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare plans: score, return, intervals, and what the dataset and a random policy earn.

    Reads the original projects' rollout.json files, too.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report.table import TableRequest, tabulate

        request = TableRequest(sources or [], style, published, None if dry_run else output, by)
        report = tabulate(RunStore(runs_dir), request, console)
        console.emit(report.as_dict())

"""``seqrl report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | DATASET | FOLDER | SWEEP",
        help="Runs, or datasets, folders and sweeps for all of their runs (default: all runs).",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write (default: report.html).")]
Title = Annotated[str | None, typer.Option("--title", help="Title of the page (default: what it shows).")]


def report(
    runs: Runs = None,
    output: Output = None,
    title: Title = None,
    by: options.By = "method",
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write one HTML file with tables, plots, differing settings and videos, to read without a network.

    The plots are interactive with the extra `report`, else pictures.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.workflows.report import html as workflow

        request = workflow.HtmlRequest(options.store(runs_dir), runs or [], output, by, title, force)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

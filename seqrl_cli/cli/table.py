"""``seqrl table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice


def table(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN | FOLDER", help="Runs or folders of plans (default: all).", show_default=False),
    ] = None,
    style: Annotated[str, typer.Option("--format", "-f", help="terminal, markdown, latex or csv.")] = "terminal",
    by: Annotated[str, typer.Option("--by", help="method (joins seeds) or run (keeps them apart).")] = "method",
    published: Annotated[bool, typer.Option("--published", help="Add the papers' figures beside yours.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
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
        from seqrl_cli.workflows.table import TableRequest, tabulate

        request = TableRequest(folders or [], style, published, None if dry_run else output, by)
        report = tabulate(RunStore(runs_dir), request, console)
        console.emit(report.as_dict())

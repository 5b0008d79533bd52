"""``seqrl plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice


def plot(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN | DATASET",
            help="Runs by path or name; a dataset or folder for all its runs (default: the latest run).",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", help="loss, online, reward, score or time; repeatable (default: what there is)."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="method (joins seeds) or run (keeps them apart).")] = "method",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .png, .pdf or .svg file (default: plots/ in the runs' folder)."),
    ] = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Draw curves of one or several runs: losses, rewards and scores of plans, seconds a planned step.

    Runs that differ only in their seed become one line, their mean, in a 95 % band. --json prints what is drawn.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.plot import PlotRequest, plot_runs, show_plot

        request = PlotRequest(runs or [], kind or [], by, output)
        store = RunStore(runs_dir)
        if dry_run:
            show_plot(store, request, console)
            return
        report = plot_runs(store, request, console, force=force)
        console.show(report.text())
        console.emit(report.as_dict())

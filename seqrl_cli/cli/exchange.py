"""``seqrl import`` and ``seqrl export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice


def import_checkpoint(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The checkpoint's folder.", show_default=False)],
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="What it is for, and what bins are placed by (default: what the folder says)."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run (default: the project's).")] = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", min=0, help="Which of several weights (default: the newest).")
    ] = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Turn another project's checkpoint into a run: plan, render and compare it like your own.

    Reads folders of Trajectory Transformer, Trajectory RetNet and Faster Trajectory Transformer. Nothing in the files
    is executed; a file that would need it is refused.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows import exchange

        request = exchange.ImportRequest(path, name, dataset, epoch, argv=sys.argv)
        store = RunStore(runs_dir)
        if dry_run:
            exchange.show_import(store, request, console)
            return
        report = exchange.import_checkpoint(store, request, console, force=force)
        console.show(report.text())
        console.emit(report.as_dict())


def export(
    words: options.RunWords = None,
    style: Annotated[str, typer.Option("--format", "-f", help="trajectory-transformer.")] = "trajectory-transformer",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write (default: one in the run's).")
    ] = None,
    checkpoint: Annotated[int | None, typer.Option("--checkpoint", help="Step (default: the newest).")] = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a run's model in another project's format, for use with the original code."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.export import ExportRequest, export_run

        run, overrides = options.split_words(words, "run")
        options.refuse_overrides(overrides, "export")
        request = ExportRequest(run, style, output, checkpoint)
        report = export_run(RunStore(runs_dir), request, console, force=force, dry_run=dry_run)
        console.show(report.text())
        console.emit(report.as_dict())

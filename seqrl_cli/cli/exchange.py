"""``seqrl import`` and ``seqrl export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import tell, voice

Folder = Annotated[Path, typer.Argument(metavar="PATH", help="The checkpoint's folder.", show_default=False)]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Dataset that the model is for (default: the one its folder names). Bins are placed by it if need be.",
        autocompletion=complete.datasets,
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run (default: the project's name).")]
Epoch = Annotated[
    int | None, typer.Option("--epoch", metavar="N", min=0, help="Epoch whose weights to take (default: the newest).")
]
Subjects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | DATASET",
        help="For trajectory-transformer a run (default: the latest); for d4rl and minari a dataset.",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Style = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="trajectory-transformer; d4rl or minari.",
        autocompletion=complete.one_of("trajectory-transformer", "d4rl", "minari"),
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder to write; for d4rl a file, for minari the folder of all its datasets."),
]


def import_checkpoint(
    path: Folder,
    dataset: Dataset = None,
    name: Name = None,
    epoch: Epoch = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Turn another project's checkpoint into a run: plan, render and compare it like your own.

    Reads folders of Trajectory Transformer, Trajectory RetNet and Faster Trajectory Transformer.
    Nothing in the files is executed; a file that would need it is refused.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.workflows.exchange import import_checkpoint as exchange

        request = exchange.ImportRequest(path, name, dataset, epoch, argv=sys.argv)
        store = options.store(runs_dir)
        if dry_run:
            exchange.show_import(store, request, console)
        else:
            tell(console, exchange.import_checkpoint(store, request, console, force=force))


def export(
    words: Subjects = None,
    style: Style = "trajectory-transformer",
    output: Output = None,
    checkpoint: options.Checkpoint = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a run's model, or a dataset, in another project's format, for use with its own code.

    The format says which: trajectory-transformer is a model's, d4rl and minari are datasets'.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.errors import unknown
        from seqrl_cli.workflows.data import export as export_dataset
        from seqrl_cli.workflows.exchange import export_model as export

        store, among = options.store(runs_dir), (*export.FORMATS, *export_dataset.FORMATS)
        if style not in among:
            raise unknown("format", style, among)
        subject, overrides = options.split_words(words, "run" if style in export.FORMATS else "dataset")
        options.refuse_overrides(overrides, "export")
        if style in export.FORMATS:
            request = export.ExportRequest(subject, style, output, checkpoint)
            tell(console, export.export_run(store, request, console, force=force, dry_run=dry_run))
        else:
            wanted = export_dataset.DatasetExportRequest(subject, style, output)
            tell(console, export_dataset.export_dataset(store, wanted, console, force=force, dry_run=dry_run))

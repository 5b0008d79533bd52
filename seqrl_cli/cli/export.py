"""``seqrl export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report

Subjects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | DATASET",
        help="A run for trajectory-transformer and peft (default: the latest), a dataset for d4rl and minari.",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Style = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="trajectory-transformer for a model, peft for an adapter of LoRA, d4rl or minari for a dataset.",
        autocompletion=complete.one_of("trajectory-transformer", "peft", "d4rl", "minari"),
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Folder to write; for d4rl a file, for minari the folder of Minari's datasets."
    ),
]


def export(
    arguments: Subjects = None,
    style: Style = "trajectory-transformer",
    output: Output = None,
    checkpoint: options.Checkpoint = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a run's model or a dataset in another project's format, for that project's code.

    The format decides: trajectory-transformer exports a model, peft the LoRA of a fine-tuned run, d4rl and minari
    export a dataset.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.errors import unknown
        from seqrl_cli.workflows.data import export as dataset_export
        from seqrl_cli.workflows.exchange import export_model as model_export

        store, formats = options.store(runs_dir), (*model_export.FORMATS, *dataset_export.FORMATS)
        if style not in formats:
            raise unknown("format", style, formats)
        subject, overrides = options.split_arguments(arguments, "run" if style in model_export.FORMATS else "dataset")
        options.refuse_overrides(overrides, "export")
        if style in model_export.FORMATS:
            model = model_export.ExportRequest(store, subject, style, output, checkpoint, force)
            if dry_run:
                model_export.dry_run(model, console)
            else:
                print_report(console, model_export.run(model, console))
            return
        dataset = dataset_export.DatasetExportRequest(store, subject, style, output, force)
        if dry_run:
            dataset_export.dry_run(dataset, console)
        else:
            print_report(console, dataset_export.run(dataset, console))

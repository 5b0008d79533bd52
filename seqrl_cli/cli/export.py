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
        help="A run (default: the latest); for d4rl and minari a dataset.",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Style = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="hub to share a run, onnx for a policy, trajectory-transformer for a model, peft for an adapter of LoRA, "
        "d4rl or minari for a dataset.",
        autocompletion=complete.one_of("hub", "onnx", "trajectory-transformer", "peft", "d4rl", "minari"),
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Folder to write; for d4rl a file, for minari the folder of Minari's datasets."
    ),
]
Push = Annotated[
    str | None,
    typer.Option("--push", metavar="USER/NAME", help="hub: upload the folder to this repository, made private if new."),
]


def export(
    arguments: Subjects = None,
    style: Style = "trajectory-transformer",
    output: Output = None,
    checkpoint: options.Checkpoint = None,
    push: Push = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a run or a dataset in a form for others: to share it, or for another project's code.

    The format decides: hub makes a folder with a model card that `seqrl import` plays, onnx a graph of a policy,
    trajectory-transformer exports a model, peft the LoRA of a fine-tuned run, d4rl and minari export a dataset.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.errors import unknown
        from seqrl_cli.workflows.data import export as dataset_export
        from seqrl_cli.workflows.exchange import export_hub, export_onnx
        from seqrl_cli.workflows.exchange import export_model as model_export

        store, of_runs = options.store(runs_dir), (export_hub.FORMAT, export_onnx.FORMAT, *model_export.FORMATS)
        if style not in (*of_runs, *dataset_export.FORMATS):
            raise unknown("format", style, (*of_runs, *dataset_export.FORMATS))
        subject, overrides = options.split_arguments(arguments, "run" if style in of_runs else "dataset")
        options.refuse_overrides(overrides, "export")
        if push is not None and style != export_hub.FORMAT:
            options.refuse_options({"--push": push}, f"--format {style}")
        if style == export_hub.FORMAT:
            shared = export_hub.HubExportRequest(store, subject, output, checkpoint, push, force)
            if dry_run:
                export_hub.dry_run(shared, console)
            else:
                print_report(console, export_hub.run(shared, console))
            return
        if style == export_onnx.FORMAT:
            graph = export_onnx.OnnxExportRequest(store, subject, output, checkpoint, force)
            if dry_run:
                export_onnx.dry_run(graph, console)
            else:
                print_report(console, export_onnx.run(graph, console))
            return
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

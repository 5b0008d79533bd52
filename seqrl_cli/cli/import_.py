"""``seqrl import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report

Source = Annotated[
    str,
    typer.Argument(
        metavar="PATH | hf://USER/NAME",
        help="The checkpoint's folder, or a repository on the hub (@REVISION may follow).",
        show_default=False,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Dataset of the run (default: the one that the folder names).",
        autocompletion=complete.datasets,
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run (default: the project's name).")]
Epoch = Annotated[
    int | None, typer.Option("--epoch", metavar="N", min=0, help="Epoch of the weights (default: the newest).")
]


Base = Annotated[
    str | None,
    typer.Option(
        "--base", help="peft: run that the adapter is for (default: as the folder says).", autocompletion=complete.runs
    ),
]


def import_checkpoint(
    source: Source,
    dataset: Dataset = None,
    name: Name = None,
    epoch: Epoch = None,
    base: Base = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Turn a shared run or another project's checkpoint into a run that you can plan with, render and compare.

    Reads what `export --format hub` wrote, folders of Trajectory Transformer, Trajectory RetNet and Faster Trajectory
    Transformer, and folders of peft with LoRA for one of your runs. No code in the files is executed; files that need
    it are refused.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.workflows.exchange import import_adapter, import_hub
        from seqrl_cli.workflows.exchange import import_checkpoint as workflow

        path = Path(source)
        if import_hub.is_hub_source(source):
            refused = {"--dataset": dataset, "--base": base, "--epoch": epoch}
            options.refuse_options({key: value for key, value in refused.items() if value is not None}, source)
            shared = import_hub.HubImportRequest(options.store(runs_dir), source, name, force, argv=sys.argv)
            if dry_run:
                import_hub.dry_run(shared, console)
            else:
                print_report(console, import_hub.run(shared, console))
            return
        if import_adapter.is_adapter(path):
            adapter = import_adapter.AdapterImportRequest(
                options.store(runs_dir), path, base, name, force, argv=sys.argv
            )
            if dry_run:
                import_adapter.dry_run(adapter, console)
            else:
                print_report(console, import_adapter.run(adapter, console))
            return
        request = workflow.ImportRequest(options.store(runs_dir), path, name, dataset, epoch, force, argv=sys.argv)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

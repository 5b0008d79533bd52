"""``seqrl info``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session

Dataset = Annotated[
    str | None,
    typer.Argument(
        help="A downloaded dataset, a file's path, a task such as metaworld/hammer-v3, a domain or a suite "
        "(default: describe this machine).",
        autocompletion=complete.datasets,
        show_default=False,
    ),
]


def info(
    dataset: Dataset = None,
    runs_dir: options.RunsDir = options.RUNS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Describe this machine (versions, devices, renderer), or summarize a dataset, a task, a domain or a suite."""
    with command_session(quiet, as_json, writes=False) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.show.dataset import show_dataset
        from seqrl_cli.workflows.show.machine import show_machine
        from seqrl_cli.workflows.show.tasks import show_named

        store = RunStore(runs_dir)
        if dataset and not show_named(store, dataset, console):
            show_dataset(store, dataset, console)
        elif not dataset:
            show_machine(store, console)

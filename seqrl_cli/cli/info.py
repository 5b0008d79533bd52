"""``seqrl info``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import voice

Dataset = Annotated[
    str | None,
    typer.Argument(
        help="A dataset that is here, or the path of a file (default: this machine).",
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
    """What this machine has: versions, devices, what draws pictures; or what is in a dataset."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.show.inspect import show_dataset, show_machine

        store = RunStore(runs_dir)
        if dataset:
            show_dataset(store, dataset, console)
        else:
            show_machine(store, console)

"""``seqrl demo``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.config.limits import MAX_SEED

Dataset = Annotated[
    str, typer.Argument(help="A simulated dataset (sim/…).", autocompletion=complete.simulated_datasets)
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Seed of the data and the training.")
]


def demo(
    dataset: Dataset = "sim/hopper-medium",
    seed: Seed = 42,
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Run all steps on a simulated dataset: a few minutes on two cores, no network, no GPU.

    Simulates data, discretizes it, trains a small model, plans with it, renders the best episode and prints a table.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.demo import run as workflow
        from seqrl_cli.workflows.demo.setup import DemoRequest

        request = DemoRequest(RunStore(runs_dir), dataset, seed, threads, force, argv=sys.argv)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

"""``seqrl demo``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import voice

Dataset = Annotated[
    str, typer.Argument(help="A simulated dataset (sim/…).", autocompletion=complete.simulated_datasets)
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the whole chain.")]


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
    """The whole chain on a simulated dataset: minutes on two cores, no network, no GPU.

    Simulates data, discretizes it, trains a small model, plans with it, renders the best episode and prints a table.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.demo.dry_run import show_demo
        from seqrl_cli.workflows.demo.run import run_demo

        store = RunStore(runs_dir)
        if dry_run:
            show_demo(store, dataset, console, seed=seed, threads=threads, force=force)
            return
        report = run_demo(store, dataset, console, seed=seed, threads=threads, force=force, argv=sys.argv)
        console.emit(report.as_dict())

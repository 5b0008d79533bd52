"""``seqrl demo``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.errors import UsageError, nearest

if TYPE_CHECKING:
    from seqrl_cli.runs.store import RunStore

Dataset = Annotated[
    str,
    typer.Argument(
        help="A simulated dataset (sim/…); domains: one model for tasks of two simulators; or continual: three tasks "
        "one after the other.",
        autocompletion=complete.demos,
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, callback=options.check_seed, help="Seed of the data and the training."),
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
    `seqrl demo domains` does so for eight tasks of Meta-World and four of DMControl.
    `seqrl demo continual` trains a model of eight tasks of Meta-World, and three methods learn three more from it.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.demo import continual, continual_dry_run, domains
        from seqrl_cli.workflows.demo import run as chain
        from seqrl_cli.workflows.demo.setup import DemoRequest

        request = DemoRequest(RunStore(runs_dir), dataset, seed, threads, force, argv=sys.argv)
        others = {domains.NAME: domains, continual.NAME: continual}
        workflow = others.get(dataset, chain)
        if workflow is chain:
            _refuse_misspelt(request.store, dataset, list(others))
        if dry_run:
            (continual_dry_run if workflow is continual else workflow).dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))


def _refuse_misspelt(store: RunStore, dataset: str, demos: list[str]) -> None:
    """Raise UsageError for what is nearly the name of a demo, and no dataset that is here."""
    close = nearest(dataset, demos)
    if close and not store.dataset(dataset).path.exists():
        raise UsageError(f"unknown demo {dataset!r}", f"did you mean {close!r}?")

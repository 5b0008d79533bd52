"""``seqrl collect``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import tell, voice

Env = Annotated[
    str,
    typer.Argument(
        metavar="ENV",
        help="hopper, halfcheetah, walker2d, ant, or a gymnasium id.",
        autocompletion=complete.environments,
    ),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="random, medium, expert, or a trained run (default: medium, where one ships).",
        autocompletion=complete.policies,
    ),
]
Transitions = Annotated[int, typer.Option("--transitions", "-n", metavar="N", min=1, help="Size of the dataset.")]
Name = Annotated[str | None, typer.Option("--name", help="Id of the dataset (default: collected/ENV-POLICY).")]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="Processes (default: one a core).")]


def collect(
    env: Env,
    policy: Policy = None,
    transitions: Transitions = 100_000,
    name: Name = None,
    seed: options.Seed = None,
    workers: Workers = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a dataset with a shipped policy, a uniform random one, or a trained run.

    The same command gives the same data, however many processes collect it.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.data.collect import CollectRequest, collect_dataset
        from seqrl_cli.workflows.train.dry_run import show_collection

        request = CollectRequest(env, policy, transitions, seed or 0, name, workers)
        store = RunStore(runs_dir)
        if dry_run:
            show_collection(store, request, console)
        else:
            tell(console, collect_dataset(store, request, console, force=force))

"""``seqrl collect``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.config.limits import MAX_COUNT, MAX_PROCESSES

Env = Annotated[
    str,
    typer.Argument(
        metavar="ENV",
        help="hopper, halfcheetah, walker2d, ant, a task such as metaworld/hammer-v3, or a gymnasium id.",
        autocompletion=complete.environments,
    ),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="random, medium, expert, scripted, or a trained run (default: what ships).",
        autocompletion=complete.policies,
    ),
]
Transitions = Annotated[
    int, typer.Option("--transitions", "-n", metavar="N", min=1, max=MAX_COUNT, help="Size of the dataset.")
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the dataset (default: collected/ENV-POLICY).")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, max=MAX_PROCESSES, help="Processes (default: one per core)."),
]


def collect(
    env: Env,
    policy: Policy = None,
    transitions: Transitions = 100_000,
    name: Name = None,
    seed: options.Seed = None,
    workers: Workers = None,
    env_timeout: options.EnvTimeout = options.ENV_TIMEOUT,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a dataset by playing a shipped policy, a uniform random one, or a trained run.

    The same command makes the same data, with any number of processes.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.data import collect as workflow

        store = RunStore(runs_dir)
        request = workflow.CollectRequest(store, env, policy, transitions, seed or 0, name, workers, force, env_timeout)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

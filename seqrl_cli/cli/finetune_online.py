"""``seqrl finetune-online``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import options, ranks
from seqrl_cli.cli.plan import PLACES, On
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.cli.sweep import Address, cluster_options
from seqrl_cli.config.limits import MAX_PROCESSES
from seqrl_cli.errors import unknown

Iterations = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        metavar="N",
        min=1,
        help="Rounds of exploring and learning (default: 1500 at size paper, 40 at laptop).",
    ),
]
Envs = Annotated[
    int | None,
    typer.Option(
        "--envs",
        metavar="N",
        min=1,
        help="Exploration episodes per iteration, played in parallel (default: 1 at size paper, 4 at laptop).",
    ),
]
Updates = Annotated[
    int | None,
    typer.Option(
        "--updates", metavar="N", min=1, help="Gradient steps per iteration (default: 300 at size paper, 40 at laptop)."
    ),
]
TargetReturn = Annotated[
    float | None,
    typer.Option("--target-return", metavar="R", help="Target return of evaluations (default: the run's)."),
]
ExplorationReturn = Annotated[
    float | None,
    typer.Option(
        "--exploration-return",
        metavar="R",
        help="Target return of exploration (default: 2.0 times --target-return at size paper, 1.1 times at laptop).",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        callback=options.check_seed,
        help="Seed for exploration, learning and evaluation (default: the run's).",
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the new run (default: RUN-online).")]

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        max=MAX_PROCESSES,
        help="Processes that share the episodes (default: 1, on Ray as many as it has cores).",
    ),
]


def finetune_online(
    arguments: options.OnlineArguments = None,
    iterations: Iterations = None,
    envs: Envs = None,
    updates: Updates = None,
    target_return: TargetReturn = None,
    exploration_return: ExplorationReturn = None,
    seed: Seed = None,
    name: Name = None,
    env_timeout: options.EnvTimeout = options.ENV_TIMEOUT,
    jobs: Jobs = None,
    on: On = "local",
    address: Address = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    track: options.Track = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fine-tune a trained odt in its environment: explore, add to the replay buffer, learn, evaluate.

    The result is a new run beside the pretrained one. After an interruption the same command resumes; a finished run
    resumes with more --iterations. With --jobs, several processes share the episodes, here or on a Ray cluster; the
    result is the same.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        ranks.refuse_several("finetune-online")
        from seqrl_cli.workflows.finetune_online import run as workflow
        from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineRequest

        run, overrides = options.split_arguments(arguments, "run")
        given = options.configuration(
            overrides,
            online__seed=seed,
            online__iterations=iterations,
            online__envs=envs,
            online__updates=updates,
            online__exploration_return=exploration_return,
            plan__target_return=target_return,
        )
        if on not in PLACES:
            raise unknown("place", on, PLACES)
        cluster_options(on, address, None, None, None, None, False, threads)
        store = options.store(runs_dir)
        request = FinetuneOnlineRequest(
            store,
            run,
            given,
            name,
            device,
            threads,
            force,
            argv=sys.argv,
            env_timeout=env_timeout,
            track=options.trackers(track),
            jobs=jobs,
            on=on,
            address=address,
        )
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

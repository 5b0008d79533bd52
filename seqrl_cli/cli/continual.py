"""``seqrl continual``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options, ranks
from seqrl_cli.cli.session import command_session, print_report

Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN] SUITE [KEY=VALUE]...", help="A trained run (default: the latest), and the tasks."),
]
MethodName = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="How to learn (default: hide-lora), for example full, single, lora or l2m; docs/continual.md lists all.",
        autocompletion=complete.methods,
    ),
]
Updates = Annotated[int | None, typer.Option("--updates", metavar="N", min=1, help="Optimizer steps per task.")]
Episodes = Annotated[
    int | None, typer.Option("--episodes", metavar="N", min=1, help="Evaluation episodes per task and stage.")
]
EvalEvery = Annotated[
    int | None,
    typer.Option("--eval-every", metavar="N", min=1, help="Play the present task after every N updates, too."),
]
TaskId = Annotated[
    str | None,
    typer.Option(
        "--task-id",
        help="Whether play infers the task or is told: inferred or oracle.",
        autocompletion=complete.one_of("inferred", "oracle"),
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the new run (default: METHOD-sSEED).")]


def continual(
    arguments: Arguments = None,
    method: MethodName = None,
    seed: options.Seed = None,
    updates: Updates = None,
    episodes: Episodes = None,
    eval_every: EvalEvery = None,
    task_id: TaskId = None,
    name: Name = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    track: options.Track = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Learn the tasks of a suite one after the other from a trained run, and play all of them after each.

    After an interruption the same command resumes. Tasks are datasets joined by `+`, or a suite such as cw10.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        ranks.refuse_several("continual")
        from seqrl_cli.config.continual import ContinualConfig
        from seqrl_cli.workflows.continual import run as workflow

        subjects, overrides = options.split_subjects(arguments)
        given = options.settings_below(
            "continual",
            ContinualConfig,
            overrides,
            method=method,
            seed=seed,
            updates=updates,
            episodes=episodes,
            eval_every=eval_every,
            task_id=task_id,
        )
        run, suite = options.run_and_suite(subjects)
        request = workflow.ContinualRequest(
            *(options.store(runs_dir), run, suite, given, name, device, threads, force),
            argv=sys.argv,
            track=options.trackers(track),
        )
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

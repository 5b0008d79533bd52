"""``seqrl plan``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_json, print_report

Horizon = Annotated[
    int | None,
    typer.Option(
        "--horizon",
        metavar="N",
        min=1,
        help="Transitions planned ahead (default: the run's, 15 at size paper, 5 at laptop).",
    ),
]
BeamWidth = Annotated[
    int | None,
    typer.Option(
        "--beam-width",
        metavar="N",
        min=1,
        help="Plans kept per transition (default: the run's, 128 at size paper, 16 at laptop).",
    ),
]
TargetReturn = Annotated[
    float | None,
    typer.Option(
        "--target-return", metavar="R", help="Target return of a dt or odt (default: the run's: the best of its data)."
    ),
]
Episodes = Annotated[
    int | None,
    typer.Option(
        "--episodes",
        metavar="N",
        min=1,
        help="Episodes to play (default: the run's: 10; gpt and retnet 15, 4 at laptop; mddt 3 per task).",
    ),
]
Envs = Annotated[
    int | None,
    typer.Option(
        "--envs",
        metavar="N",
        min=1,
        help="Episodes played in parallel (default: the run's: 10; gpt and retnet 4; mddt 3).",
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, callback=options.check_seed, help="Seed of environments and samples."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory", metavar="SIZE", help="Memory for planning, such as 2GiB (default: half of the free memory)."
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="RetNet: parallel, chunkwise or recurrent encoding of the past (default: as trained).",
        autocompletion=complete.values_of("model", "mode"),
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks", metavar="PATTERNS", help="Tasks of a run of many, such as 'metaworld/*,dmc/*' (default: all)."
    ),
]
Profile = Annotated[bool, typer.Option("--profile", metavar="", help="Print how the time per step is spent.")]


def plan(
    arguments: options.PlanArguments = None,
    horizon: Horizon = None,
    beam_width: BeamWidth = None,
    target_return: TargetReturn = None,
    episodes: Episodes = None,
    envs: Envs = None,
    seed: Seed = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="N | best",
            help="The checkpoint of this update, or the best by evaluation or validation loss (default: newest).",
            autocompletion=complete.one_of("best"),
        ),
    ] = None,
    max_memory: MaxMemory = None,
    mode: Mode = None,
    tasks: Tasks = None,
    env_timeout: options.EnvTimeout = options.ENV_TIMEOUT,
    profile: Profile = False,
    jobs: options.Jobs = 1,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Play episodes with a trained model, by beam search or with its policy, and write a JSON file for each.

    Options that are not given default to the run's configuration. After an interruption the same command resumes: it
    plays only the missing episodes. The name of a sweep stands for all of its runs, --jobs of them at a time.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.behaviour.collect import available_cores
        from seqrl_cli.runs.sweeps import is_group
        from seqrl_cli.workflows.plan import run as workflow
        from seqrl_cli.workflows.plan.setup import PlanRequest
        from seqrl_cli.workflows.sweep.plan_group import PlanGroupRequest, dry_run_group, plan_group, words_of

        run, overrides = options.split_arguments(arguments, "run")
        given = options.configuration(
            overrides,
            plan__horizon=horizon,
            plan__beam_width=beam_width,
            plan__episodes=episodes,
            plan__envs=envs,
            plan__target_return=target_return,
        )
        memory = options.memory(max_memory)
        step, best = options.checkpoint(checkpoint)
        store = options.store(runs_dir)
        if run is not None and is_group(store, run):
            words = (
                *_words(given),
                *words_of(
                    [
                        *(
                            ("--seed", seed),
                            ("--checkpoint", checkpoint),
                            ("--max-memory", max_memory),
                            ("--mode", mode),
                        ),
                        *(("--tasks", tasks), ("--env-timeout", env_timeout), ("--device", device), ("--force", force)),
                    ]
                ),
            )
            group = PlanGroupRequest(store, run, words, jobs, available_cores(), threads)
            if dry_run:
                dry_run_group(group, console)
            else:
                print_report(console, plan_group(group, console))
            return
        request = PlanRequest(
            store, run, given, seed, step, device, threads, memory, mode, force, env_timeout, tasks, best
        )
        if dry_run:
            workflow.dry_run(request, console)
            return
        report = workflow.run(request, console)
        console.show(report.text(profile=profile))
        print_json(console, report)


def _words(given: dict[str, Any]) -> list[str]:
    """Configuration as it would be typed."""
    from seqrl_cli.config.grid import value_text

    return [f"{key}={value_text(value)}" for key, value in given.items()]

"""``seqrl plan``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_json, print_report
from seqrl_cli.cli.sweep import Address, Cpus, Gpus, cluster_options
from seqrl_cli.errors import UsageError, unknown

if TYPE_CHECKING:
    from seqrl_cli.console import Console
    from seqrl_cli.launch.launcher import Launcher
    from seqrl_cli.runs.store import RunStore
    from seqrl_cli.workflows.plan.setup import PlanRequest

_RETRIES = 3

Horizon = Annotated[
    int | None,
    typer.Option(
        "--horizon",
        metavar="N",
        min=1,
        help="Transitions planned ahead (default: the run's, 15 at size paper, 2 at laptop).",
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
        "--target-return",
        metavar="R",
        help="Target return of a dt or odt (default: the run's: the best of its data, or more).",
    ),
]
Episodes = Annotated[
    int | None,
    typer.Option(
        "--episodes",
        metavar="N",
        min=1,
        help="Episodes to play (default: the run's: 10; gpt and retnet 15, 4 at laptop; "
        "mddt 3 per task, 10 at laptop).",
    ),
]
Envs = Annotated[
    int | None,
    typer.Option(
        "--envs",
        metavar="N",
        min=1,
        help="Episodes played in parallel (default: the run's: 10; gpt and retnet 4; mddt 3, 10 at laptop).",
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
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", metavar="N", min=1, help="Processes that share the episodes, or runs at a time."),
]
PLACES = ("local", "ray")
On = Annotated[str, typer.Option("--on", help="Where they run: local or ray.", autocompletion=complete.one_of(*PLACES))]
PartText = Annotated[str | None, typer.Option("--part", hidden=True)]
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
    jobs: Jobs = None,
    on: On = "local",
    address: Address = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    part: PartText = None,
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
    plays only the missing episodes. The name of a sweep stands for all of its runs, --jobs of them at a time. Otherwise
    --jobs processes share the episodes, here or on a Ray cluster; the episodes are the same. Several runs on the same
    data plan together: their predictions are averaged, and the first run keeps the episodes.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.runs.sweeps import is_group
        from seqrl_cli.workflows.plan.setup import PlanRequest

        runs, overrides = options.split_subjects(arguments)
        run = runs[0] if runs else None
        store = options.store(runs_dir)
        given = options.configuration(
            overrides,
            plan__horizon=horizon,
            plan__beam_width=beam_width,
            plan__episodes=episodes,
            plan__envs=envs,
            plan__target_return=target_return,
        )
        given = _with_others(given, store, runs, console)
        memory = options.memory(max_memory)
        step, best = options.checkpoint(checkpoint)
        request = PlanRequest(
            store,
            run,
            given,
            seed=seed,
            checkpoint=step,
            device=device,
            threads=threads,
            max_memory=memory,
            mode=mode,
            force=force,
            env_timeout=env_timeout,
            tasks=tasks,
            best_checkpoint=best,
            processes=jobs or 1,
        )
        words = (
            *_keys(given),
            *_options([("--seed", seed), ("--checkpoint", checkpoint), ("--max-memory", max_memory), ("--mode", mode)]),
            *_options([("--tasks", tasks), ("--env-timeout", env_timeout), ("--device", device), ("--force", force)]),
        )
        launcher = _launcher(on, address, cpus, gpus, jobs, threads, console)
        several = _Several(words, launcher, _threads(threads, cpus, jobs, on), on, jobs)
        if run is not None and is_group(store, run):
            _plan_group(store, run, several, dry_run, console)
        elif dry_run:
            _dry_run(request if jobs in (None, 1) else replace(request, threads=several.threads), console)
        elif part is not None:
            _play_part(request, part, console)
        elif on != "local" or (jobs or 1) > 1:
            _plan_in_parts(request, several, profile, console)
        else:
            _plan_here(request, profile, console)


@dataclass(frozen=True)
class _Several:
    """How several processes share the work.

    Attributes:
        words: words of the command line that each process gets.
        launcher: makes what runs them.
        threads: CPU threads of each.
        on: name of the place where the processes run.
        jobs: number of processes at once; None where that was not asked for.
    """

    words: tuple[str, ...]
    launcher: Callable[[], Launcher]
    threads: int
    on: str
    jobs: int | None


def _with_others(given: dict[str, Any], store: RunStore, runs: list[str], console: Console) -> dict[str, Any]:
    """The settings, with the runs after the first as an ensemble.

    Raises:
        UsageError: they cannot be one.
    """
    from seqrl_cli.runs.sweeps import is_group
    from seqrl_cli.workflows.plan.ensemble import joined_names

    if len(runs) < 2:
        return given
    for run in runs:
        if is_group(store, run):
            raise UsageError(f"{run} is a sweep, whose runs play alone", "name single runs for an ensemble")
    if given.get("plan.ensemble") is not None:
        raise UsageError("an ensemble is named twice", "name its runs, or set plan.ensemble")
    return {**given, "plan.ensemble": joined_names(store, runs, console.warn)}


def _plan_group(store: RunStore, sweep: str, several: _Several, dry_run: bool, console: Console) -> None:
    """Plan with all runs of a sweep."""
    from seqrl_cli.workflows.sweep.plan_group import PlanGroupRequest, dry_run_group, plan_group

    if several.on != "local" and several.jobs:
        hint = "leave it out; --cpus and --gpus of each run decide"
        raise UsageError(f"--jobs is for one run or --on local: {several.on} runs as many of {sweep} as fit", hint)
    request = PlanGroupRequest(store, sweep, several.words, several.launcher, several.threads)
    if dry_run:
        dry_run_group(request, console)
    else:
        print_report(console, plan_group(request, console))


def _dry_run(request: PlanRequest, console: Console) -> None:
    """Print what planning with one run would do."""
    from seqrl_cli.workflows.plan import run as workflow

    workflow.dry_run(request, console)


def _play_part(request: PlanRequest, part: str, console: Console) -> None:
    """Plan a share of the episodes, as another process asked for."""
    from seqrl_cli.workflows.plan.parts import Part, play_part

    print_report(console, play_part(request, Part.parse(part), console))


def _plan_in_parts(request: PlanRequest, several: _Several, profile: bool, console: Console) -> None:
    """Plan with one run in several processes."""
    from seqrl_cli.workflows.plan.parts import PartsRequest, run_parts

    if profile:
        raise UsageError("--profile measures one process", "leave out --jobs and --on")
    words = (*several.words, "--threads", str(several.threads))
    parts = PartsRequest(request, words, several.launcher, several.jobs, several.on == "local")
    print_report(console, run_parts(parts, console))


def _plan_here(request: PlanRequest, profile: bool, console: Console) -> None:
    """Plan with one run in this process."""
    from seqrl_cli.workflows.plan import run as workflow

    report = workflow.run(request, console)
    console.show(report.text(profile=profile))
    print_json(console, report)


def _threads(threads: int | None, cpus: int | None, jobs: int | None, on: str) -> int:
    """CPU threads of each process: what was asked for, or its share of the cores."""
    from seqrl_cli.launch.cores import available_cores

    return threads or cpus or (max(1, available_cores() // (jobs or 1)) if on == "local" else 1)


def _launcher(
    on: str,
    address: str | None,
    cpus: int | None,
    gpus: float | None,
    jobs: int | None,
    threads: int | None,
    console: Console,
) -> Callable[[], Launcher]:
    """What runs several processes, when it is needed.

    Raises:
        UsageError: there is no such place, or an option does not belong to it.
    """
    from seqrl_cli.launch.local import LocalLauncher
    from seqrl_cli.launch.ray_cluster import RayLauncher

    if on not in PLACES:
        raise unknown("place", on, PLACES)
    cluster = cluster_options(on, address, cpus, gpus, None, None, False, threads)
    if cluster is None:
        return lambda: LocalLauncher(jobs or 1, _RETRIES, console.note)
    return lambda: RayLauncher(cluster.address, cpus=cluster.cpus, gpus=cluster.gpus or 0.0, retries=_RETRIES)


def _keys(given: dict[str, Any]) -> list[str]:
    """Configuration as it would be typed."""
    from seqrl_cli.config.value_text import value_text

    return [f"{key}={value_text(value)}" for key, value in given.items()]


def _options(options: Sequence[tuple[str, object]]) -> tuple[str, ...]:
    """Options as words: a flag that is true stands alone, what is None or false is left out."""
    words: list[str] = []
    for name, value in options:
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words += [name, str(value)]
    return tuple(words)

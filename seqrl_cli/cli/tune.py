"""``seqrl tune``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.cli.sweep import Address, Cpus, Gpus, Option, Plan, Retries, Time, cluster_options
from seqrl_cli.cli.train import Arch
from seqrl_cli.config.limits import MAX_PARTS
from seqrl_cli.errors import UsageError

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATASET | KEY=RANGE",
        help="A dataset; then what to search, such as train.learning_rate=log:1e-5..1e-2, model.n_layer=1..4 or "
        "train.batch_size=32,64; a single value is fixed.",
        autocompletion=complete.datasets_and_keys,
        show_default=False,
    ),
]
Trials = Annotated[int, typer.Option("--trials", metavar="N", min=1, max=MAX_PARTS, help="Trials in all.")]
Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        help="score or return of planned episodes, or validation_loss.",
        autocompletion=complete.one_of("score", "return", "validation_loss"),
    ),
]
Pruner = Annotated[
    str,
    typer.Option(
        "--pruner",
        help="Stop trials that lag behind: none, median or hyperband.",
        autocompletion=complete.one_of("none", "median", "hyperband"),
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Name of the search, and of its runs (default: DATASET-ARCH-tune).")
]
SearchSeed = Annotated[int, typer.Option("--search-seed", metavar="N", min=0, help="Seed of the choices.")]
PLACES = ("local", "ray", "slurm")
On = Annotated[
    str, typer.Option("--on", help="Where trials run: local, ray or slurm.", autocompletion=complete.one_of(*PLACES))
]


def tune(
    arguments: Arguments = None,
    arch: Arch = None,
    seed: options.Seed = None,
    trials: Trials = 40,
    metric: Metric = "validation_loss",
    pruner: Pruner = "none",
    plan: Plan = None,
    size: options.SizeName = None,
    preset: options.Preset = None,
    name: Name = None,
    search_seed: SearchSeed = 0,
    jobs: options.Jobs = 1,
    threads: options.Threads = None,
    device: options.Device = "auto",
    retries: Retries = 3,
    on: On = "local",
    address: Address = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    time: Time = None,
    option: Option = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Search for hyperparameters with Optuna; every trial is an ordinary run.

    After any interruption the same command goes on, and takes up the trials that were running. With more --trials a
    search that has ended goes on, too.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        if on not in PLACES:
            raise UsageError(f"trials cannot run on {on!r}", f"choose one of: {', '.join(PLACES)}")
        from seqrl_cli.cli.sweep import network_words, plan_texts
        from seqrl_cli.config.grid import Grid
        from seqrl_cli.config.space import parse_space
        from seqrl_cli.launch.cores import available_cores
        from seqrl_cli.workflows.sweep.setup import SweepRequest, config_keys, default_name
        from seqrl_cli.workflows.tune import run as workflow

        dataset, words = options.split_arguments(arguments, "dataset")
        if dataset is None:
            raise UsageError("no dataset given", "for example sim/hopper-medium; `seqrl download --list` shows all")
        space, fixed = parse_space(words, config_keys())
        archs = () if arch is None else (arch,)
        grid = Grid((dataset,), archs, (42 if seed is None else seed,), fixed, plan_texts(plan), size, preset)
        store = options.store(runs_dir, options.network(mirrors, offline))
        cluster = cluster_options(on, address, cpus, gpus, time, option, False, threads)
        sweep = SweepRequest(
            store,
            grid,
            name=name,
            default_name=f"{default_name(grid)}-tune",
            jobs=jobs,
            threads=threads if cluster is None else (threads or cpus),
            cores=available_cores() if cluster is None else 1,
            device=device,
            retries=retries,
            cluster=cluster,
            network=network_words(mirrors, offline),
        )
        request = workflow.TuneRequest(store, sweep, tuple(space), trials, metric, pruner, search_seed)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

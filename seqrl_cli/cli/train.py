"""``seqrl train``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from seqrl_cli.cli import complete, options, ranks
from seqrl_cli.cli.seeds import SeveralSeeds, seeds_grid, train_several
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.config.architectures import DEFAULT, architectures_in_words
from seqrl_cli.config.limits import MAX_PROCESSES
from seqrl_cli.errors import UsageError

Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        help=f"Architecture: {architectures_in_words()} (default: {DEFAULT}).",
        autocompletion=complete.architectures,
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="RetNet: parallel, chunkwise or recurrent (default: parallel).",
        autocompletion=complete.values_of("model", "mode"),
    ),
]
Updates = Annotated[
    int | None, typer.Option("--updates", metavar="N", min=1, help="Optimizer steps (default: from the preset).")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", min=1, help="Windows per batch (default: from the preset).")
]
EvalEvery = Annotated[
    int | None,
    typer.Option("--eval-every", metavar="N", min=1, help="Play episodes after every N updates (default: never)."),
]
EvalEpisodes = Annotated[
    int | None,
    typer.Option("--eval-episodes", metavar="N", min=1, help="Episodes per evaluation and task (default: 5)."),
]
EvalTasks = Annotated[
    str | None,
    typer.Option("--eval-tasks", metavar="PATTERNS", help="Tasks to evaluate, such as 'metaworld/*' (default: all)."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="mddt: memory for the data, such as 2GiB; more is read from the disk (default: half of what is free).",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Start from a run's config.yaml; other options override it.")
]
Seeds = Annotated[
    str | None,
    typer.Option("--seeds", metavar="SEEDS", help="One run for each of these seeds: 1-3, 1..3 or 1,2,5; see sweep."),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run (default: ARCH-sSEED).")]
Devices = Annotated[
    int | None,
    typer.Option(
        "--devices",
        metavar="N",
        min=1,
        max=MAX_PROCESSES,
        help="Processes on this machine that train together, one per GPU (default: 1).",
    ),
]


def train(
    arguments: options.DatasetArguments = None,
    arch: Arch = None,
    mode: Mode = None,
    seed: options.Seed = None,
    seeds: Seeds = None,
    jobs: options.Jobs = 1,
    updates: Updates = None,
    batch_size: BatchSize = None,
    eval_every: EvalEvery = None,
    eval_episodes: EvalEpisodes = None,
    eval_tasks: EvalTasks = None,
    size: options.SizeName = None,
    preset: options.Preset = None,
    config_file: ConfigFile = None,
    name: Name = None,
    max_memory: MaxMemory = None,
    device: options.Device = "auto",
    devices: Devices = None,
    threads: options.Threads = None,
    track: options.Track = None,
    push: options.Push = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a sequence model on a dataset; downloads and discretizes the dataset first if needed.

    After an interruption the same command resumes from the newest checkpoint. A finished run is kept as it is.

    Several processes train together with --devices, or on several machines with torchrun. --seeds trains several runs,
    --jobs of them at a time; their common name is then that of a sweep.

    KEY=VALUE sets any other key of the configuration. Those that matter most: train.updates, train.batch_size,
    train.learning_rate, train.eval_every, model.n_layer, model.width, model.n_head, model.sequence_length, data.bins
    (gpt and retnet), policy.top_share (dt, odt and bc). `seqrl presets show DATASET --explain` shows all keys, with
    their values and meanings; docs/configuration.md has them by architecture.
    """
    place = ranks.placement()
    with command_session(quiet, as_json, ranks.console_of(place), writes=not dry_run) as console:
        from seqrl_cli.artifacts.locate import dataset_config
        from seqrl_cli.workflows.train import run as train_run

        dataset, overrides = options.split_arguments(arguments, "dataset")
        daily: dict[str, Any] = {
            "model__arch": arch,
            "model__mode": mode,
            "train__updates": updates,
            "train__batch_size": batch_size,
        }
        evaluated = {"train__eval_every": eval_every, "train__eval_episodes": eval_episodes}
        daily |= {**evaluated, "train__eval_tasks": eval_tasks, "tasks__max_memory": options.memory(max_memory)}
        given = options.configuration(overrides, seed=seed, **daily)
        dataset_ref, config = dataset_config(
            options.store(runs_dir, options.network(mirrors, offline)),
            dataset,
            size=size,
            preset=preset,
            overrides=given,
            config_file=config_file,
        )
        if seeds is not None:
            ranks.refuse_several("train --seeds")
            _refuse_with_seeds({"--seed": given.get("seed"), "--force": force or None, "--devices": devices})
            from seqrl_cli.workflows.sweep.followers import Followers

            grid = seeds_grid(dataset or dataset_ref.id, given, seeds, size, preset, config_file)
            several = SeveralSeeds(
                grid,
                name,
                jobs,
                threads,
                device,
                mirrors,
                offline,
                Followers(options.trackers(track), options.push_url(push)),
            )
            train_several(dataset_ref.store, several, console, dry_run)
            return
        if jobs != 1:
            raise UsageError("--jobs is for several runs, and this is one", "leave it out, or name --seeds")
        request = train_run.TrainRequest(
            dataset_ref,
            config,
            name=name,
            device=device,
            threads=threads,
            force=force,
            argv=sys.argv,
            placement=place,
            devices=devices,
            track=options.trackers(track),
            push=options.push_url(push),
        )
        train_run.check_processes(request)
        if dry_run:
            train_run.dry_run(request, console)
        elif request.starts_processes:
            if code := ranks.start(request.processes):
                raise typer.Exit(code)
        else:
            print_report(console, train_run.run(request, console))


def _refuse_with_seeds(given: Mapping[str, object]) -> None:
    """Stop at an option that --seeds cannot be joined with.

    Raises:
        UsageError: one is given.
    """
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} is for one run, and --seeds for several", "leave one of them out")

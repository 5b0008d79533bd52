"""``seqrl train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice


def train(
    words: options.DatasetWords = None,
    arch: Annotated[str | None, typer.Option("--arch", help="Architecture: gpt or retnet (default: gpt).")] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="RetNet: parallel, chunkwise or recurrent (default: parallel).")
    ] = None,
    seed: options.Seed = None,
    updates: Annotated[int | None, typer.Option("--updates", min=1, help="Optimiser steps (default: preset).")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Windows a step (default: preset).")
    ] = None,
    size: options.SizeName = None,
    preset: options.Preset = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="Repeat the run of a config.yaml; what else is given wins.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run (default: ARCH-sSEED).")] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a sequence model on a dataset; gets and discretizes the dataset first if need be.

    Interrupted? The same command carries on from the newest checkpoint. Finished? It says so and stops.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows import datasets
        from seqrl_cli.workflows.forecast import show_training
        from seqrl_cli.workflows.train import TrainRequest, train_model

        dataset, overrides = options.split_words(words, "dataset")
        given = options.configuration(
            overrides,
            model__arch=arch,
            model__mode=mode,
            seed=seed,
            train__updates=updates,
            train__batch_size=batch_size,
        )
        located, config = datasets.dataset_config(
            RunStore(runs_dir),
            dataset,
            size=size,
            preset=preset,
            overrides=given,
            config_file=config_file,
            network=options.network(mirrors, offline),
        )
        request = TrainRequest(located, config, name=name, device=device, threads=threads, argv=sys.argv)
        if dry_run:
            show_training(request, console, force=force)
            return
        report = train_model(request, console, force=force)
        console.show(report.text())
        console.emit(report.as_dict())

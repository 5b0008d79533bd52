"""``seqrl download``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.config.limits import MAX_COUNT, MAX_PROCESSES


def download(
    arguments: options.DatasetArguments = None,
    list_all: Annotated[
        bool,
        typer.Option(
            "--list",
            metavar="",
            help="List the known datasets and checkpoints, all or those whose names contain a word: --list hopper.",
        ),
    ] = False,
    seed: options.Seed = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", metavar="N", min=1, max=MAX_PROCESSES, help="Datasets of a suite at once (default: cores)."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="LOW,HIGH",
            help="Own data: play two policies, whose mean returns then score 0 and 100: random, expert, a trained run, "
            "data (the data's mean), or a return.",
        ),
    ] = None,
    reference_episodes: Annotated[
        int, typer.Option("--reference-episodes", metavar="N", min=1, max=MAX_COUNT, help="Fewest episodes per policy.")
    ] = 20,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Get a dataset or a suite: simulate it, fetch it, or copy your own data. Also fetches published checkpoints.

    sim/… datasets are simulated on this machine in MuJoCo, without a network. Names of D4RL and Minari are fetched. The
    path of an HDF5, .npz or pickle file, or of a folder, is checked and copied. pretrained/… is fetched and imported as
    a run. `--list PATTERN` lists known names; `seqrl export` writes a dataset for D4RL's and Minari's own loaders.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.artifacts.locate import dataset_config
        from seqrl_cli.data.pretrained import PREFIX
        from seqrl_cli.workflows.data import download as workflow
        from seqrl_cli.workflows.data import references
        from seqrl_cli.workflows.exchange import pretrained
        from seqrl_cli.workflows.show.catalogue import show_catalogue

        store = options.store(runs_dir, options.network(mirrors, offline))
        if list_all:
            show_catalogue(store, console, options.split_arguments(arguments, "pattern")[0])
            return
        name, overrides = options.split_arguments(arguments, "dataset")
        if name and name.startswith(PREFIX):
            options.refuse_overrides(overrides, "download pretrained/…")
            checkpoint = pretrained.PretrainedRequest(store, name, force, argv=sys.argv)
            if dry_run:
                pretrained.dry_run(checkpoint, console)
            else:
                print_report(console, pretrained.run(checkpoint, console))
            return
        dataset, config = dataset_config(store, name, overrides=options.configuration(overrides, data__seed=seed))
        request = workflow.DownloadRequest(dataset, config, force, jobs)
        if reference is not None:
            measured = references.ReferenceRequest(dataset, config, reference, reference_episodes, seed or 0, force)
            if dry_run:
                references.dry_run(measured, console)
            else:
                print_report(console, references.run(measured, console))
            return
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

"""``seqrl download``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.session import tell, voice


def download(
    words: options.DatasetWords = None,
    list_all: Annotated[bool, typer.Option("--list", help="List every known dataset.")] = False,
    seed: options.Seed = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Get a dataset: simulate it, fetch it, or take in data of your own; or a published checkpoint.

    sim/… sets are simulated here, in MuJoCo, without a network; D4RL's and Minari's names are fetched; a path of
    HDF5, .npz, pickles or a folder is checked and copied; pretrained/… is fetched and imported as a run. `--list
    PATTERN` shows what has a name; `seqrl export` writes a dataset for D4RL's and Minari's own loaders.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.artifacts.locate import dataset_config
        from seqrl_cli.data.pretrained import PREFIX
        from seqrl_cli.workflows.data.catalogue import show_catalogue
        from seqrl_cli.workflows.data.download import acquire
        from seqrl_cli.workflows.exchange.pretrained import download_pretrained, show_pretrained
        from seqrl_cli.workflows.train.dry_run import show_acquisition

        store = options.store(runs_dir, options.network(mirrors, offline))
        if list_all:
            show_catalogue(store, console, options.split_words(words, "pattern")[0])
            return
        dataset, overrides = options.split_words(words, "dataset")
        if dataset and dataset.startswith(PREFIX):
            options.refuse_overrides(overrides, "download pretrained/…")
            if dry_run:
                show_pretrained(store, dataset, console)
            else:
                tell(console, download_pretrained(store, dataset, console, force=force, argv=sys.argv))
            return
        given = options.configuration(overrides, data__seed=seed)
        located, config = dataset_config(store, dataset, overrides=given)
        if dry_run:
            show_acquisition(located, config, console, force=force)
        else:
            tell(console, acquire(located, config.data, console, force=force))

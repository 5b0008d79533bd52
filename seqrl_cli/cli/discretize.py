"""``seqrl discretize``."""

from __future__ import annotations

from seqrl_cli.cli import options
from seqrl_cli.cli.session import tell, voice


def discretize(
    words: options.DatasetWords = None,
    preset: options.Preset = None,
    size: options.SizeName = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Turn a dataset into tokens: value targets, bin edges, one token a number.

    Gets the dataset first if it is not there. For other bins: data.bins=50 data.discretizer=uniform.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.artifacts.locate import dataset_config
        from seqrl_cli.workflows.data.discretize import discretize as discretize_dataset
        from seqrl_cli.workflows.train.dry_run import show_tokens

        dataset, overrides = options.split_words(words, "dataset")
        given = options.configuration(overrides)
        located, config = dataset_config(
            options.store(runs_dir, options.network(mirrors, offline)),
            dataset,
            size=size,
            preset=preset,
            overrides=given,
        )
        if dry_run:
            show_tokens(located, config, console, force=force)
        else:
            tell(console, discretize_dataset(located, config, console, force=force))

"""``seqrl discretize``."""

from __future__ import annotations

from seqrl_cli.cli import options
from seqrl_cli.cli.session import command_session, print_report


def discretize(
    arguments: options.DatasetArguments = None,
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
    """Turn a dataset into tokens: value targets, bin edges, one token per number.

    Downloads the dataset first if it is missing. For other bins: data.bins=50 data.discretizer=uniform.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.artifacts.locate import dataset_config
        from seqrl_cli.workflows.data import discretize as workflow

        name, overrides = options.split_arguments(arguments, "dataset")
        given = options.configuration(overrides)
        store = options.store(runs_dir, options.network(mirrors, offline))
        dataset, config = dataset_config(store, name, size=size, preset=preset, overrides=given)
        request = workflow.DiscretizeRequest(dataset, config, force)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

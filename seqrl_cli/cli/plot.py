"""``seqrl plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import tell, voice
from seqrl_cli.reports.plot.figure_formats import check_figure_format

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | DATASET | FOLDER",
        help="Runs; a dataset or folder for all runs below it (default: the latest run).",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        "-k",
        help="loss, online, reward, score or time; repeatable (default: all that there is).",
        autocompletion=complete.one_of("loss", "online", "reward", "score", "time"),
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A .png, .pdf or .svg file (default: a PNG in plots/ of the run's folder)."),
]


def plot(
    runs: Runs = None,
    kind: Kind = None,
    by: options.By = "method",
    output: Output = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Draw curves of one or several runs: losses, rewards and scores of plans, seconds per planned step.

    Runs that differ only in their seed become one line, their mean, in a 95 % band. --json prints what is drawn.
    """
    with voice(quiet, as_json) as console:
        if output is not None:
            check_figure_format(output)
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report.plot import PlotRequest, plot_runs, show_plot

        request = PlotRequest(runs or [], kind or [], by, output)
        store = RunStore(runs_dir)
        if dry_run:
            show_plot(store, request, console)
        else:
            tell(console, plot_runs(store, request, console, force=force))

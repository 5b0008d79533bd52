"""``seqrl plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.reports.plot.figure_formats import check_figure_format

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | SWEEP | DATASET | FOLDER",
        help="Runs, sweeps, or datasets and folders for all runs below them (default: the latest run).",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
_KINDS = ("loss", "evaluation", "online", "reward", "score", "time", "axis")
_ACROSS = ("aggregate", "improvement", "profile", "average")
_CONTINUAL = ("matrix", "curve", "forgetting", "keys")
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        "-k",
        help="loss, evaluation, online, reward, score or time (default: all); axis of a sweep; over datasets "
        "aggregate, improvement, profile or average; of continual runs matrix, curve, forgetting or keys.",
        autocompletion=complete.one_of(*_KINDS, *_ACROSS, *_CONTINUAL),
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
    published: Annotated[
        bool, typer.Option("--published", metavar="", help="average: add the papers' figures.")
    ] = False,
    output: Output = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Draw curves of one or several runs: losses, rewards and scores of plans, seconds per planned step.

    Runs that differ only in their seed are drawn as their mean with a 95 % band. Plots over datasets compare methods by
    normalized scores, and by default those of all runs. --json prints the drawn values.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        if output is not None:
            check_figure_format(output)
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report import plot as workflow

        request = workflow.PlotRequest(RunStore(runs_dir), runs or [], kind or [], by, output, force, published)
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

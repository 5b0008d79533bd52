"""``seqrl table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_json

Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN | SWEEP | DATASET | FOLDER",
        help="Runs, sweeps, datasets (all their runs) or folders of plans (default: everything).",
        autocompletion=complete.runs_and_datasets,
        show_default=False,
    ),
]
Style = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="terminal, markdown, latex or csv.",
        autocompletion=complete.one_of("terminal", "markdown", "latex", "csv"),
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        help="method (joins seeds), run (keeps runs apart), task or domain.",
        autocompletion=complete.one_of("method", "run", "task", "domain"),
    ),
]
Published = Annotated[bool, typer.Option("--published", help="Add the papers' results.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to a file; .csv, .tex and .md set the format."),
]


def table(
    sources: Sources = None,
    style: Style = "terminal",
    by: By = "method",
    published: Published = False,
    output: Output = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare plans: score, return and intervals, beside the dataset's own returns and a random policy's.

    Also reads the rollout.json files of the original projects. By task and by domain it adds success and means over
    tasks.
    """
    with command_session(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report import table as workflow

        request = workflow.TableRequest(RunStore(runs_dir), sources or [], style, published, output, by)
        verb = workflow.dry_run if dry_run else workflow.run
        print_json(console, verb(request, console))

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
        help="method (joins seeds), run (keeps runs apart), task, domain, or aggregate (over all datasets).",
        autocompletion=complete.one_of("method", "run", "task", "domain", "aggregate"),
    ),
]
Published = Annotated[bool, typer.Option("--published", metavar="", help="Add the papers' results.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to a file; .csv, .tex, .md and .txt set the format."),
]

Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        help="Order of methods: name, or the best score, iqm, return or time first.",
        autocompletion=complete.one_of("name", "score", "iqm", "return", "time"),
    ),
]
Cells = Annotated[
    str,
    typer.Option(
        "--cells",
        help="LaTeX: error (mean ± standard error), interval (mean and 95 % interval) or iqm (with its interval).",
        autocompletion=complete.one_of("error", "interval", "iqm"),
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="NAME", help="LaTeX: the table's label (default: table:results).")
]
Caption = Annotated[
    str | None, typer.Option("--caption", metavar="LATEX", help="LaTeX: the caption (default: what the numbers are).")
]


def table(
    sources: Sources = None,
    style: Style = "terminal",
    by: By = "method",
    published: Published = False,
    sort: Sort = "name",
    cells: Cells = "error",
    label: Label = None,
    caption: Caption = None,
    output: Output = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare plans: score, return and intervals, beside the dataset's own returns and a random policy's.

    Without reference scores the statistics are those of the return. Also reads the rollout.json files of the original
    projects. By task and by domain it adds success and means over tasks; `--by aggregate` compares methods over several
    datasets: interquartile mean, mean, median, optimality gap, and the probability of improvement.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.reports.table.latex import LatexOptions
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report import table as workflow

        latex = LatexOptions(cells, label, caption)
        request = workflow.TableRequest(RunStore(runs_dir), sources or [], style, published, output, by, sort, latex)
        verb = workflow.dry_run if dry_run else workflow.run
        print_json(console, verb(request, console))

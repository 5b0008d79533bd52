"""``seqrl watch``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session

Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run's path or name (default: the latest run).",
        autocompletion=complete.runs,
        show_default=False,
    ),
]
Every = Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Seconds between updates.")]
Once = Annotated[bool, typer.Option("--once", metavar="", help="Print the current state once, then exit.")]


def watch(
    run: Run = None,
    every: Every = 1.0,
    once: Once = False,
    runs_dir: options.RunsDir = options.RUNS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Watch a run being trained: losses, evaluations, speed, memory, time left. Ctrl-C ends the watching only.

    A run that is not being trained is shown once. Where stdout is not a terminal, each log step is printed as a line;
    --json prints it once.
    """
    with command_session(quiet, as_json, writes=False) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.show.watch import show_live

        show_live(RunStore(runs_dir), run, console, every, once=once)

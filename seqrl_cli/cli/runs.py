"""``seqrl runs``: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice

app = typer.Typer(help="List what is in the run directory, or show one run.", invoke_without_command=True)


@app.callback()
def runs(
    context: typer.Context,
    runs_dir: options.RunsDir = options.RUNS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List what is in the run directory, or show one run."""
    if context.invoked_subcommand is None:
        list_runs(runs_dir, quiet, as_json)


@app.command("list")
def list_runs(
    runs_dir: options.RunsDir = options.RUNS, quiet: options.Quiet = False, as_json: options.Json = False
) -> None:
    """Every dataset and run, the newest run last."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.inspect import show_runs

        show_runs(RunStore(runs_dir), console)


@app.command()
def show(
    run: Annotated[str | None, typer.Argument(help="A run (default: the latest).", show_default=False)] = None,
    runs_dir: options.RunsDir = options.RUNS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """One run: its record, configuration, last metrics and plans."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.inspect import show_run

        show_run(RunStore(runs_dir), run, console)

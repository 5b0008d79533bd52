"""``seqrl runs``: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session
from seqrl_cli.errors import unknown

ACTIONS = ("list", "show")

Action = Annotated[
    str, typer.Argument(metavar="list | show", help="What to do.", autocompletion=complete.one_of(*ACTIONS))
]
Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="The run to show (default: the latest).", autocompletion=complete.runs, show_default=False
    ),
]


def runs(
    action: Action = "list",
    run: Run = None,
    runs_dir: options.RunsDir = options.RUNS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List datasets and runs, newest run last, or show one run: record, configuration, metrics and plans."""
    with command_session(quiet, as_json, writes=False) as console:
        if action not in ACTIONS:
            raise unknown("action", action, ACTIONS)
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.show.runs import show_run, show_runs

        store = RunStore(runs_dir)
        if action == "show":
            show_run(store, run, console)
        else:
            options.refuse_name(run, "seqrl runs list", f"seqrl runs show {run}")
            show_runs(store, console)

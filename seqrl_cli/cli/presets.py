"""``seqrl presets``: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session
from seqrl_cli.config.architectures import DEFAULT, names_with
from seqrl_cli.errors import unknown

ACTIONS = ("list", "show")

Action = Annotated[
    str, typer.Argument(metavar="list | show", help="What to do.", autocompletion=complete.one_of(*ACTIONS))
]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="PRESET | DATASET",
        help="The preset or dataset to show (default: base).",
        autocompletion=complete.presets_and_datasets,
        show_default=False,
    ),
]
Arch = Annotated[
    str,
    typer.Option(
        "--arch",
        help=f"Architecture: {' and '.join(names_with('planner'))} share presets; each policy has its own.",
        autocompletion=complete.architectures,
    ),
]


def presets(
    action: Action = "list",
    name: Name = None,
    arch: Arch = DEFAULT,
    size: options.SizeName = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", metavar="", help="show: what each key means, the papers' symbol, and its effect."),
    ] = False,
    runs_dir: options.RunsDir = options.RUNS,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List sizes and presets with what each changes, or show one in full, as `train` would use it."""
    with command_session(quiet, as_json, writes=False) as console:
        if action not in ACTIONS:
            raise unknown("action", action, ACTIONS)
        from seqrl_cli.workflows.show.presets import show_preset, show_presets

        if action == "show":
            show_preset(options.store(runs_dir), name or "base", arch, size, console, explain=explain)
        else:
            options.refuse_name(name, "seqrl presets list", f"seqrl presets show {name}")
            show_presets(arch, size, console)

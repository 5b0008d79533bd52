"""``seqrl presets``: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice

app = typer.Typer(help="List the presets, or show one with every key.", invoke_without_command=True)


@app.callback()
def presets(context: typer.Context, quiet: options.Quiet = False, as_json: options.Json = False) -> None:
    """List the presets, or show one with every key."""
    if context.invoked_subcommand is None:
        list_presets(quiet, as_json)


@app.command("list")
def list_presets(quiet: options.Quiet = False, as_json: options.Json = False) -> None:
    """Every preset and what it changes."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.workflows.inspect import show_presets

        show_presets(console)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A preset or a dataset.")] = "base",
    size: options.SizeName = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """One preset, every key with its value: what `train` would use."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.workflows.inspect import show_preset

        show_preset(name, size, console)

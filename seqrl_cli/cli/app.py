"""The command line's root: all commands, in the order in which help lists them."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from seqrl_cli import __version__
from seqrl_cli.cli import (
    collect,
    continual,
    demo,
    discretize,
    download,
    export,
    finetune,
    finetune_online,
    import_,
    info,
    plan,
    plot,
    presets,
    render,
    report,
    runs,
    sweep,
    table,
    train,
    tune,
    watch,
)
from seqrl_cli.cli.kinds import Command
from seqrl_cli.cli.root import Root

app = typer.Typer(
    name="seqrl",
    cls=Root,
    epilog="Start with `seqrl demo`. Help for a command: `seqrl COMMAND --help`.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

MAIN = "Main steps"
OTHERS = "Other commands"

app.command(rich_help_panel=MAIN)(demo.demo)
app.command(rich_help_panel=MAIN)(download.download)
app.command(rich_help_panel=MAIN)(discretize.discretize)
app.command(rich_help_panel=MAIN)(train.train)
app.command(rich_help_panel=MAIN)(plan.plan)
app.command(rich_help_panel=MAIN)(finetune.finetune)
app.command(rich_help_panel=MAIN)(finetune_online.finetune_online)
app.command(rich_help_panel=MAIN)(continual.continual)
app.command(rich_help_panel=MAIN)(render.render)
app.command(rich_help_panel=MAIN)(table.table)
app.command(rich_help_panel=OTHERS)(sweep.sweep)
app.command(rich_help_panel=OTHERS)(tune.tune)
app.command(rich_help_panel=OTHERS)(plot.plot)
app.command(rich_help_panel=OTHERS)(report.report)
app.command(rich_help_panel=OTHERS)(collect.collect)
app.command("import", rich_help_panel=OTHERS)(import_.import_checkpoint)
app.command(rich_help_panel=OTHERS)(export.export)
app.command(rich_help_panel=OTHERS)(runs.runs)
app.command(rich_help_panel=OTHERS)(watch.watch)
app.command(rich_help_panel=OTHERS)(presets.presets)
app.command(rich_help_panel=OTHERS)(info.info)


def _paragraphs(text: str) -> str:
    """A docstring for help, which keeps its line breaks: each paragraph on one line, for the terminal to wrap."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


for command in app.registered_commands:
    command.cls = Command
    command.help = _paragraphs((command.callback and command.callback.__doc__) or "")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seqrl {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, metavar="", help="Print the version and exit."),
    ] = False,
) -> None:
    """Offline reinforcement learning as sequence modelling: get data, train a model, plan with it, compare results."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())

"""``seqrl render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.config.limits import MAX_FRAMES

Episode = Annotated[
    int | None,
    typer.Option(
        "--episode", metavar="N", min=0, help="Number of the episode (default: the one with the highest return)."
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A .gif or .mp4 file (default: a GIF in the run's videos).")
]
ViewName = Annotated[
    str,
    typer.Option(
        "--view",
        help="auto, mujoco (needs EGL or OSMesa) or software.",
        autocompletion=complete.one_of("auto", "mujoco", "software"),
    ),
]
PanelSize = Annotated[
    int | None,
    typer.Option(
        "--size", metavar="N", min=64, max=2048, help="Side of a panel in pixels (default: 300, in a grid 160)."
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        "--task",
        metavar="PATTERNS",
        help="Tasks of a run of many, such as 'dmc/*': one video each.",
    ),
]
Grid = Annotated[
    bool,
    typer.Option(
        "--grid", metavar="", help="Tasks of a run of many side by side in one video (default: all planned ones)."
    ),
]
Every = Annotated[
    int | None,
    typer.Option(
        "--every",
        metavar="N",
        min=1,
        max=MAX_FRAMES,
        help="Draw every N-th step (default: 25 frames per second of real time).",
    ),
]


def render(
    arguments: options.RunArguments = None,
    episode: Episode = None,
    output: Output = None,
    view: ViewName = "auto",
    size: PanelSize = None,
    every: Every = None,
    tasks: Tasks = None,
    grid: Grid = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Draw a planned episode as a GIF or MP4, next to the plan that the model predicted at each step."""
    with command_session(quiet, as_json, writes=not dry_run) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report import render as workflow

        run, overrides = options.split_arguments(arguments, "run")
        options.refuse_overrides(overrides, "render")
        request = workflow.RenderRequest(
            RunStore(runs_dir), run, episode, output, view, size, every, force, tasks, grid
        )
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

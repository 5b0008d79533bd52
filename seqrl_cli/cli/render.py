"""``seqrl render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import tell, voice

Episode = Annotated[
    int | None,
    typer.Option(
        "--episode", metavar="N", min=0, help="Number of the episode (default: the one with the best return)."
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
PanelSize = Annotated[int, typer.Option("--size", metavar="N", min=64, max=2048, help="Pixels of a panel's side.")]
Every = Annotated[
    int | None,
    typer.Option(
        "--every", metavar="N", min=1, help="Draw every n-th step (default: 25 frames a second of real time)."
    ),
]


def render(
    words: options.RunWords = None,
    episode: Episode = None,
    output: Output = None,
    view: ViewName = "auto",
    size: PanelSize = 300,
    every: Every = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a GIF or MP4 of a planned episode, beside the plan that the model imagined at each moment."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.report.render import RenderRequest, render_plan, show_render

        run, overrides = options.split_words(words, "run")
        options.refuse_overrides(overrides, "render")
        request = RenderRequest(run, episode, output, view, size, every)
        store = RunStore(runs_dir)
        if dry_run:
            show_render(store, request, console)
        else:
            tell(console, render_plan(store, request, console, force=force))

"""``seqrl render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice


def render(
    words: options.RunWords = None,
    episode: Annotated[int | None, typer.Option("--episode", min=0, help="Episode (default: the best).")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .gif or .mp4 file (default: a GIF in the run's videos).")
    ] = None,
    view: Annotated[str, typer.Option("--view", help="auto, mujoco (needs EGL or OSMesa) or software.")] = "auto",
    size: Annotated[int, typer.Option("--size", min=64, max=2048, help="Pixels of a panel's side.")] = 300,
    every: Annotated[int | None, typer.Option("--every", min=1, help="Draw every n-th step (default: fits).")] = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a GIF or MP4 of a planned episode, beside the plan that the model imagined at each moment."""
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.render import RenderRequest, render_plan, show_render

        run, overrides = options.split_words(words, "run")
        options.refuse_overrides(overrides, "render")
        request = RenderRequest(run, episode, output, view, size, every)
        store = RunStore(runs_dir)
        if dry_run:
            show_render(store, request, console)
            return
        report = render_plan(store, request, console, force=force)
        console.show(report.text())
        console.emit(report.as_dict())

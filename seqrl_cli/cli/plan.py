"""``seqrl plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.voice import voice


def plan(
    words: options.RunWords = None,
    horizon: Annotated[int | None, typer.Option("--horizon", min=1, help="Transitions planned ahead.")] = None,
    beam_width: Annotated[int | None, typer.Option("--beam-width", min=1, help="Beams.")] = None,
    episodes: Annotated[int | None, typer.Option("--episodes", min=1, help="Episodes to play.")] = None,
    envs: Annotated[int | None, typer.Option("--envs", min=1, help="Episodes planned at once.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of environments and samples.")] = 0,
    checkpoint: Annotated[int | None, typer.Option("--checkpoint", help="Step (default: the newest).")] = None,
    max_memory: Annotated[
        float | None, typer.Option("--max-memory", min=0.001, help="GiB that planning may take (default: half of it).")
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time of a step goes.")] = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Play episodes with beam-search planning and write one plan JSON an episode.

    Settings not given here come from the run's configuration. Interrupted? The same command plays what is missing.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.runs.store import RunStore
        from seqrl_cli.workflows.plan import plan_episodes, show_plan
        from seqrl_cli.workflows.planner import PlanRequest

        run, overrides = options.split_words(words, "run")
        given = options.configuration(
            overrides,
            plan__horizon=horizon,
            plan__beam_width=beam_width,
            plan__episodes=episodes,
            plan__envs=envs,
        )
        request = PlanRequest(
            run,
            given,
            seed=seed,
            checkpoint=checkpoint,
            device=device,
            threads=threads,
            max_memory=int(max_memory * 2**30) if max_memory else None,
        )
        store = RunStore(runs_dir)
        if dry_run:
            show_plan(store, request, console)
            return
        report = plan_episodes(store, request, console, force=force)
        console.show(report.text(profile=profile))
        console.emit(report.as_dict())

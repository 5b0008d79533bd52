"""``seqrl plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import voice

Horizon = Annotated[int | None, typer.Option("--horizon", metavar="N", min=1, help="Transitions planned ahead.")]
BeamWidth = Annotated[
    int | None, typer.Option("--beam-width", metavar="N", min=1, help="Plans kept at each transition.")
]
TargetReturn = Annotated[
    float | None,
    typer.Option("--target-return", metavar="R", help="Return to ask a dt or odt for (default: from its training)."),
]
Episodes = Annotated[int | None, typer.Option("--episodes", metavar="N", min=1, help="Episodes to play.")]
Envs = Annotated[int | None, typer.Option("--envs", metavar="N", min=1, help="Episodes played at once.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of environments and samples.")]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        "--max-memory", metavar="GIB", min=0.001, help="Memory that planning may take (default: half of what is free)."
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="RetNet: parallel, chunkwise or recurrent encoding of the past (default: as trained).",
        autocompletion=complete.values_of("model", "mode"),
    ),
]
Profile = Annotated[bool, typer.Option("--profile", help="Print where the time of a step goes.")]


def plan(
    words: options.PlanWords = None,
    horizon: Horizon = None,
    beam_width: BeamWidth = None,
    target_return: TargetReturn = None,
    episodes: Episodes = None,
    envs: Envs = None,
    seed: Seed = 0,
    checkpoint: options.Checkpoint = None,
    max_memory: MaxMemory = None,
    mode: Mode = None,
    profile: Profile = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Play episodes with a trained model, by beam search or by its own policy, and write a JSON file for each.

    Settings not given here come from the run's configuration. Interrupted? The same command plays what is missing.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.workflows.plan.run import plan_episodes, show_plan
        from seqrl_cli.workflows.plan.setup import PlanRequest

        daily: dict[str, float | None] = {
            "horizon": horizon,
            "beam_width": beam_width,
            "episodes": episodes,
            "envs": envs,
        }
        daily["target_return"] = target_return
        run, overrides = options.split_words(words, "run")
        given = options.configuration(overrides, **{f"plan__{key}": value for key, value in daily.items()})
        most = int(max_memory * 2**30) if max_memory else None
        request = PlanRequest(run, given, seed, checkpoint, device, threads, most, mode)
        if dry_run:
            show_plan(options.store(runs_dir), request, console)
            return
        report = plan_episodes(options.store(runs_dir), request, console, force=force)
        console.show(report.text(profile=profile))
        console.emit(report.as_dict())

"""``seqrl finetune-online``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import options
from seqrl_cli.cli.session import tell, voice


def finetune_online(
    words: options.RunWords = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="Rounds of exploring and learning (default: preset).")
    ] = None,
    envs: Annotated[
        int | None, typer.Option("--envs", min=1, help="Exploration episodes an iteration, played at once.")
    ] = None,
    updates: Annotated[int | None, typer.Option("--updates", min=1, help="Gradient steps an iteration.")] = None,
    target_return: Annotated[
        float | None, typer.Option("--target-return", help="Return aimed at in evaluations (default: the run's).")
    ] = None,
    exploration_return: Annotated[
        float | None,
        typer.Option("--exploration-return", help="Return aimed at when exploring (default: a multiple of that)."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="Of exploring, learning, evaluating (default: the run's)."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the new run (default: RUN-online).")] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fine-tune a trained odt in its environment: explore, add to the replay buffer, learn, evaluate.

    The result is a run of its own beside the one it began from. Interrupted? The same command carries on. Finished?
    More --iterations go on from where it ended.
    """
    with voice(quiet, as_json) as console:
        from seqrl_cli.workflows.finetune.dry_run import show_finetuning
        from seqrl_cli.workflows.finetune.run import FinetuneRequest, finetune_run

        run, overrides = options.split_words(words, "run")
        given = options.configuration(
            overrides,
            online__seed=seed,
            online__iterations=iterations,
            online__envs=envs,
            online__updates=updates,
            online__exploration_return=exploration_return,
            plan__target_return=target_return,
        )
        request = FinetuneRequest(run, given, name=name, device=device, threads=threads, argv=sys.argv)
        store = options.store(runs_dir)
        if dry_run:
            show_finetuning(store, request, console, force=force)
        else:
            tell(console, finetune_run(store, request, console, force=force))

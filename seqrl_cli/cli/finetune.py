"""``seqrl finetune``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options, ranks
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.errors import UsageError

_ADAPTERS = ("none", "lora", "ia3", "houlsby", "prompt", "prefix")

Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN] DATASET [KEY=VALUE]...", help="A trained run (default: the latest), and the data."),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        help="What learns beside the frozen model: lora, ia3, houlsby, prompt or prefix; none: the model itself.",
        autocompletion=complete.one_of(*_ADAPTERS),
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        "--groups", help="Own parameters that learn: head, last-layers, encoders, norms or all, joined by commas."
    ),
]
Rank = Annotated[int | None, typer.Option("--rank", metavar="N", min=1, help="lora: rank (default: 8).")]
Updates = Annotated[
    int | None, typer.Option("--updates", metavar="N", min=1, help="Optimizer steps (default: as many as the run had).")
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Random seed (default: that of the trained run).")
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the new run (default: RUN-ADAPTER).")]


def finetune(
    arguments: Arguments = None,
    adapter: Adapter = None,
    groups: Groups = None,
    rank: Rank = None,
    seed: Seed = None,
    updates: Updates = None,
    name: Name = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    track: options.Track = None,
    mirrors: options.Mirrors = "",
    offline: options.Offline = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fine-tune a trained run on a dataset, with an adapter, in parts, or as a whole.

    The result is a run of its own, which needs the trained one. After an interruption the same command resumes.
    """
    with command_session(quiet, as_json, writes=not dry_run) as console:
        ranks.refuse_several("finetune")
        from seqrl_cli.workflows.finetune import run as workflow

        subjects, overrides = options.split_subjects(arguments)
        run, dataset = options.run_and_dataset(subjects)
        given = options.configuration(
            overrides,
            fine_tunes=True,
            seed=seed,
            train__updates=updates,
            finetune__adapter=adapter,
            finetune__groups=None if groups is None else [one.strip() for one in groups.split(",")],
            finetune__rank=rank,
        )
        if rank is not None and given.get("finetune.adapter") != "lora":
            raise UsageError("--rank is the rank of LoRA's adapters", "add --adapter lora, or leave --rank out")
        store = options.store(runs_dir, options.network(mirrors, offline))
        if run is None and any(dataset in (one.path.name, store.name_of(one.path)) for one, _ in store.runs()):
            raise UsageError(
                f"no dataset given: {dataset} is a run", f"seqrl finetune {dataset} DATASET --adapter lora"
            )
        followers = options.trackers(track)
        request = workflow.FinetuneRequest(
            store, run, dataset, given, name, device, threads, force, argv=sys.argv, track=followers
        )
        if dry_run:
            workflow.dry_run(request, console)
        else:
            print_report(console, workflow.run(request, console))

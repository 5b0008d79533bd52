"""``seqrl runs``: list, show, track, push and pull."""

from __future__ import annotations

import select
import sys
from typing import Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.console import Console
from seqrl_cli.errors import UsageError, unknown

ACTIONS = ("list", "show", "track", "push", "pull")

Action = Annotated[
    str, typer.Argument(metavar=" | ".join(ACTIONS), help="What to do.", autocompletion=complete.one_of(*ACTIONS))
]
Subjects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | URL",
        help="show, track: a run (default: the latest). push: RUNS and a URL. pull: a URL and RUNS (default: all).",
        autocompletion=complete.runs,
        show_default=False,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TRACKERS",
        help="track: wandb, tensorboard, trackio, or several with commas.",
        autocompletion=complete.one_of("wandb", "tensorboard", "trackio"),
    ),
]
Project = Annotated[str, typer.Option("--project", help="track: the project's name in the tracker.")]
Follow = Annotated[bool, typer.Option("--follow", hidden=True, help="Go on until stdin closes.")]
WithoutData = Annotated[bool, typer.Option("--without-data", help="push, pull: leave datasets and tokens out.")]


def runs(
    action: Action = "list",
    subjects: Subjects = None,
    to: To = None,
    project: Project = "seqrl",
    follow: Follow = False,
    without_data: WithoutData = False,
    runs_dir: options.RunsDir = options.RUNS,
    dry_run: options.DryRun = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List datasets and runs, newest run last; show one; send it to trackers; push runs to a URL, or pull them.

    URLs are those of fsspec: s3://bucket/path, abfs://container/path, gs://bucket/path, file:///path.
    """
    with command_session(quiet, as_json) as console:
        if action not in ACTIONS:
            raise unknown("action", action, ACTIONS)
        from seqrl_cli.runs.store import RunStore

        store, names = RunStore(runs_dir), subjects or []
        if action in ("push", "pull"):
            from seqrl_cli.workflows.exchange import pull as pulling
            from seqrl_cli.workflows.exchange import push as pushing

            url, chosen = _url_and_runs(action, names)
            if action == "push":
                wait = _stdin_closes if follow else None
                request = pushing.PushRequest(store, tuple(chosen), url, data=not without_data, is_over=wait)
                _run_or_not(pushing, request, dry_run, console)
            else:
                _run_or_not(
                    pulling, pulling.PullRequest(store, tuple(chosen), url, not without_data, force), dry_run, console
                )
            return
        if len(names) > 1:
            raise UsageError(f"one run at a time, not {' and '.join(names)}", f"`seqrl runs {action} RUN`")
        run = names[0] if names else None
        if action == "track":
            from seqrl_cli.workflows.track import run as tracking

            trackers = options.trackers(to)
            if not trackers:
                raise UsageError("no tracker given", "for example: seqrl runs track --to tensorboard")
            wait = _stdin_closes if follow else None
            _run_or_not(tracking, tracking.TrackRequest(store, run, trackers, project, wait), dry_run, console)
            return
        from seqrl_cli.workflows.show.runs import show_run, show_runs

        if action == "show":
            show_run(store, run, console)
        else:
            options.refuse_name(run, "seqrl runs list", f"seqrl runs show {run}")
            show_runs(store, console)


def _run_or_not(workflow: object, request: object, dry_run: bool, console: Console) -> None:
    if dry_run:
        workflow.dry_run(request, console)  # type: ignore[attr-defined]
    else:
        print_report(console, workflow.run(request, console))  # type: ignore[attr-defined]


def _url_and_runs(action: str, words: list[str]) -> tuple[str, list[str]]:
    """The one URL among the words, and the runs.

    Raises:
        UsageError: there is no URL, or several.
    """
    urls = [word for word in words if "://" in word]
    if len(urls) != 1:
        found = " and ".join(urls) if urls else "none"
        raise UsageError(f"{action} takes one URL, not {found}", f"for example: seqrl runs {action} s3://bucket/runs")
    return urls[0], [word for word in words if word not in urls]


def _stdin_closes(seconds: float) -> bool:
    """Wait for some seconds; returns whether stdin has closed, which ends the run that started this command."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not sys.stdin.buffer.read(1)

"""``seqrl runs``: list, show, delete, rename, archive, restore, track, push and pull."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from seqrl_cli.cli import complete, options
from seqrl_cli.cli.session import command_session, print_report
from seqrl_cli.console import Console
from seqrl_cli.errors import UsageError, unknown

if TYPE_CHECKING:
    from seqrl_cli.runs.store import RunStore

CHANGES = ("delete", "rename", "archive", "restore")
ACTIONS = ("list", "show", *CHANGES, "track", "push", "pull")

Action = Annotated[
    str, typer.Argument(metavar=" | ".join(ACTIONS), help="What to do.", autocompletion=complete.one_of(*ACTIONS))
]
Subjects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | PATTERN | NAME | URL",
        help="list: a pattern such as 'sim/*'. show, track: a run (default: the latest). delete, archive, restore: a "
        "run. rename: a run and its new name. push: RUNS and a URL. pull: a URL and RUNS (default: all).",
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
Follow = Annotated[bool, typer.Option("--follow", hidden=True, metavar="", help="Keep running until stdin closes.")]
WithoutData = Annotated[
    bool, typer.Option("--without-data", metavar="", help="push, pull: leave datasets and tokens out.")
]

Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        help="list: by updated, name, updates, loss or status.",
        autocompletion=complete.one_of("updated", "name", "updates", "loss", "status"),
    ),
]
Status = Annotated[
    str | None,
    typer.Option(
        "--status",
        help="list: only finished, running, interrupted, failed, killed or silent runs.",
        autocompletion=complete.one_of("finished", "running", "interrupted", "failed", "killed", "silent"),
    ),
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", help="list: only runs of this architecture.", autocompletion=complete.architectures),
]


def runs(
    action: Action = "list",
    subjects: Subjects = None,
    sort: Sort = "updated",
    status: Status = None,
    arch: Arch = None,
    full: Annotated[bool, typer.Option("--full", metavar="", help="show: the whole record and configuration.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask before a run is deleted.")] = False,
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
    """List datasets and runs, newest run last; show, delete, rename or archive one; track it; push or pull runs.

    An archived run is moved to a hidden folder of the run directory, which lists and tables leave out; restore moves it
    back. Runs in use are refused; delete and archive also refuse runs that others were trained from, unless --force is
    given. A new name also goes into the run's plans and into the runs that were trained from it. A sweep does not
    follow: it trains its member anew.

    URLs are those of fsspec: s3://bucket/path, abfs://container/path, gs://bucket/path, file:///path.
    """
    with command_session(quiet, as_json, writes=action not in ("list", "show")) as console:
        from seqrl_cli.runs.store import RunStore

        store, names = RunStore(runs_dir), subjects or []
        if action not in ACTIONS:
            raise _unknown_action(action, store)
        if action in CHANGES:
            _change(store, action, names, console, force=force, yes=yes, dry_run=dry_run)
            return
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

            trackers = options.trackers(to, "--to")
            if not trackers:
                raise UsageError("no tracker given", "for example: seqrl runs track --to tensorboard")
            wait = _stdin_closes if follow else None
            _run_or_not(tracking, tracking.TrackRequest(store, run, trackers, project, wait), dry_run, console)
            return
        from seqrl_cli.workflows.show.runs import RunFilter, show_run, show_runs

        if action == "show":
            show_run(store, run, console, full=full)
        else:
            show_runs(store, console, RunFilter(run, status, arch, sort))


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
        found = " and ".join(urls or words) or "none"
        example = "RUN s3://bucket/runs" if action == "push" else "s3://bucket/runs RUN"
        hint = f"for example: seqrl runs {action} {example}; a folder is file:///PATH"
        raise UsageError(f"{action} takes one URL, not {found}", hint)
    return urls[0], [word for word in words if word not in urls]


def _stdin_closes(seconds: float) -> bool:
    """Wait for some seconds; returns whether stdin has closed, which ends the run that started this command."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not sys.stdin.buffer.read(1)


def _change(
    store: RunStore, action: str, names: list[str], console: Console, *, force: bool, yes: bool, dry_run: bool
) -> None:
    """Delete, rename, archive or restore a run."""
    from seqrl_cli.workflows.manage import run as manage

    usage = "RUN NAME" if action == "rename" else "RUN"
    if len(names) > len(usage.split()):
        raise UsageError(f"`seqrl runs {action}` takes {usage}, not {' '.join(names)}", f"seqrl runs {action} {usage}")
    run, new_name = [*names, "", ""][:2]
    confirm = _ask if action == "delete" and not yes else None
    request = manage.ManageRequest(store, action, run, new_name or None, force, confirm)
    _run_or_not(manage, request, dry_run, console)


def _ask(name: str) -> None:
    """Ask before a run is deleted.

    Raises:
        UsageError: there is nobody to ask, or the answer is no.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{name} would be deleted without a question", "add --yes, or --dry-run to look")
    if not typer.confirm(f"Delete {name} with its checkpoints, plans, plots and videos?", err=True):
        raise UsageError(f"{name} was kept", "seqrl runs archive RUN moves a run out of the way instead")


def _unknown_action(action: str, store: RunStore) -> Exception:
    """The error for an unknown action; a run's name in its place most likely asks to see the run."""
    from seqrl_cli.runs.layout import CONTINUAL

    folders = [path.parent for record in ("run.json", CONTINUAL) for path in store.files_named(record)]
    if action in (*(folder.name for folder in folders), *map(store.name_of, folders)):
        return UsageError(f"{action!r} is a run, not an action", f"seqrl runs show {action}")
    return unknown("action", action, ACTIONS)

"""Runs tasks to their end with whatever engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seqrl_cli.console import Console, counted
from seqrl_cli.errors import CommandInterruptedError
from seqrl_cli.launch.launcher import Launcher
from seqrl_cli.launch.task import Ended, Task


def run_tasks(
    launcher: Launcher,
    tasks: Sequence[Task],
    console: Console,
    label: str,
    what: str = "member",
    kept: str = "the others have saved; the same command resumes",
) -> Mapping[str, str]:
    """Run tasks to their end.

    Args:
        launcher: the engine.
        tasks: the tasks to run.
        console: shows progress.
        label: text beside the progress.
        what: a task in one word, for messages.
        kept: what Ctrl-C leaves, and what to do next.

    Returns:
        Why, by name, for those that failed.

    Raises:
        CommandInterruptedError: Ctrl-C; the tasks have saved.
    """
    failed: dict[str, str] = {}
    ended: list[Ended] = []
    total = len(tasks)
    try:
        with launcher, console.progress(label) as update:
            for task in tasks:
                launcher.start(task)
            update(0, total)
            while len(ended) < total:
                for each in launcher.wait():
                    ended.append(each)
                    console.note(f"[{len(ended)}/{total}] {each.task.name}: {'done' if each.done else each.reason}")
                    if each.warning:
                        console.warn(f"{each.task.name} is done, but {each.warning}")
                    if not each.done:
                        failed[each.task.name] = each.reason
                update(len(ended), total)
    except KeyboardInterrupt as error:
        message = f"interrupted; {len(ended) - len(failed)} of {counted(total, what)} were finished"
        raise CommandInterruptedError(message, kept) from error
    return failed


def failures_text(failed: Mapping[str, str], what: str) -> str:
    """The tasks that failed, with their reasons: ``2 members failed: …``."""
    shown = [f"{name} ({reason})" for name, reason in list(failed.items())[:5]]
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    return f"{counted(len(failed), what)} failed: {', '.join(shown)}{more}"

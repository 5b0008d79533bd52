"""Which tasks of a run a user means by patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from seqrl_cli.errors import UsageError, nearest
from seqrl_cli.runs.record import TaskRecord

_LISTED = 6  # tasks that a hint lists


def chosen_tasks(tasks: Sequence[TaskRecord], patterns: str | None) -> list[TaskRecord]:
    """The tasks that match one of some patterns; all without patterns.

    Args:
        tasks: the tasks of a run.
        patterns: patterns joined by commas, each with ``*`` for any text, compared with environments, domains and
            datasets.

    Raises:
        UsageError: a pattern matches none.
    """
    if patterns is None:
        return list(tasks)
    chosen: dict[str, TaskRecord] = {}
    for pattern in patterns.split(","):
        matching = [task for task in tasks if _matches(task, pattern.strip())]
        if not matching:
            names = [task.env_id for task in tasks]
            close = nearest(pattern, names)
            known = f"the run has {', '.join(names[:_LISTED])}{' …' if len(names) > _LISTED else ''}"
            raise UsageError(f"no task of the run matches {pattern!r}", f"did you mean {close!r}?" if close else known)
        chosen |= {task.dataset: task for task in matching}
    return [task for task in tasks if task.dataset in chosen]


def require_tasks(tasks: Sequence[TaskRecord], run: str, option: str) -> None:
    """Stop at an option for runs of many tasks if the run has none.

    Raises:
        UsageError: names the option and the run.
    """
    if not tasks:
        raise UsageError(f"{option} is for runs of many tasks, which {run} is not", "leave it out")


def _matches(task: TaskRecord, pattern: str) -> bool:
    dataset = task.dataset
    names = (
        task.env_id,
        task.env_id.partition("/")[0],
        dataset,
        dataset.removeprefix("sim/"),
        dataset.rpartition("/")[2],
    )
    return any(fnmatchcase(name, pattern) for name in names)

"""How a run stands: finished, still at it, or ended before its end."""

from __future__ import annotations

from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import is_locked
from seqrl_cli.runs.record import RunRecord


def status_of(run: RunFolder, record: RunRecord) -> str:
    """The record's status; a run that says it is running, but whose process is gone, was killed."""
    return "killed" if record.status == "running" and not is_locked(run.path) else record.status


def unfinished(run: RunFolder, record: RunRecord) -> str | None:
    """What to say of a run that has not come to its end, ``is still training`` for example; None of a finished one."""
    work = "fine-tuning" if record.parent else "training"
    return {
        "running": f"is still {work}",
        "interrupted": f"was interrupted in {work}",
        "killed": f"was killed in {work}",
        "failed": f"failed in {work}",
    }.get(status_of(run, record))

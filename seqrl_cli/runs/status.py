"""Run status: finished, running, interrupted, failed or killed."""

from __future__ import annotations

from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import is_locked
from seqrl_cli.runs.record import RunRecord


def status_of(run: RunFolder, record: RunRecord) -> str:
    """The record's status; a run recorded as running whose process is gone was killed."""
    return "killed" if record.status == "running" and not is_locked(run.path) else record.status


def unfinished(run: RunFolder, record: RunRecord) -> str | None:
    """Why a run is incomplete, as text such as ``is still training``; None for a finished run."""
    work = "fine-tuning" if record.parent or record.base else "training"
    return {
        "running": f"is still {work}",
        "interrupted": f"was interrupted while {work}",
        "killed": f"was killed while {work}",
        "failed": f"failed while {work}",
    }.get(status_of(run, record))

"""Run status: finished, running, interrupted, failed, killed or silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from seqrl_cli.console import duration
from seqrl_cli.runs import record as records
from seqrl_cli.runs.heartbeat import SILENT_SECONDS
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.lock import is_locked
from seqrl_cli.runs.record import RunRecord

STATUSES = ("finished", "running", "interrupted", "failed", "killed", "silent")


@dataclass(frozen=True)
class RunStatus:
    """What is known of a run.

    Attributes:
        word: ``finished``, ``running``, ``interrupted``, ``failed``, ``killed``, or ``silent`` for a run on another
            machine that has not been heard of for a while.
        host: the other machine that it runs on, or ran on when it was last heard; None for this one.
        silence: seconds since it was heard; None if it is not known.
    """

    word: str
    host: str | None = None
    silence: float | None = None

    @property
    def heard(self) -> dict[str, str | int | None]:
        """Where a run is and since when it is silent, for programs."""
        silence = None if self.silence is None else round(self.silence)
        return {"running_on": self.host, "silent_seconds": silence}

    @property
    def text(self) -> str:
        """The status in words, such as ``running on n2, heard 12 s ago``."""
        if self.host is None:
            return self.word
        heard = "" if self.silence is None else f", heard {duration(self.silence)} ago"
        return f"{self.word} on {self.host}{heard}"


def look_at(folder: Path, status: str, host: str, heard: str) -> RunStatus:
    """The status of a run from its record and its lock.

    A run that is recorded as running, whose process is gone from this machine, was killed. Of a run on another machine,
    whose lock may not be seen here, only the heartbeats in its record are known.

    Args:
        folder: the run's folder.
        status: the status as it is recorded.
        host: the machine that recorded it.
        heard: time of its last heartbeat, ISO 8601.
    """
    if status != "running":
        return RunStatus(status)
    here = host in ("", records.host())
    if is_locked(folder):
        return RunStatus("running") if here else RunStatus("running", host, seconds_since(heard))
    if here:
        return RunStatus("killed")
    silence = seconds_since(heard)
    word = "running" if silence is not None and silence <= SILENT_SECONDS else "silent"
    return RunStatus(word, host, silence)


def run_status(run: RunFolder, record: RunRecord) -> RunStatus:
    """The status of a run."""
    return look_at(run.path, record.status, record.host, record.heard or record.updated)


def status_of(run: RunFolder, record: RunRecord) -> str:
    """The status of a run, as one word."""
    return run_status(run, record).word


def seconds_since(time: str) -> float | None:
    """Seconds since a recorded time, at least 0; None if it is not a time."""
    try:
        then = datetime.fromisoformat(time)
        return max(0.0, (datetime.now(UTC) - then).total_seconds())
    except (TypeError, ValueError):
        return None


def unfinished(run: RunFolder, record: RunRecord) -> str | None:
    """Why a run is incomplete, as text such as ``is still training``; None for a finished run."""
    work = "fine-tuning" if record.parent or record.base else "training"
    found = run_status(run, record)
    where = f" on {found.host}" if found.host else ""
    return {
        "running": f"is still {work}{where}",
        "interrupted": f"was interrupted while {work}",
        "killed": f"was killed while {work}",
        "failed": f"failed while {work}",
        "silent": f"has not been heard of{where} while {work}",
    }.get(found.word)

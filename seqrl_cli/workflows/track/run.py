"""``seqrl runs track``: send a run to trackers, once or while it grows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrl_cli.config.presets import read_yaml
from seqrl_cli.console import Console, counted
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import status_of
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.feed import Feed, Results
from seqrl_cli.tracking.process import tracker_folder
from seqrl_cli.tracking.trackers import TrackedRun, check_tracker, make_tracker

POLL_SECONDS = 2.0
_MEDIA = (".png", ".gif", ".mp4", ".webm")


@dataclass(frozen=True)
class TrackRequest:
    """Options of ``seqrl runs track``.

    Attributes:
        store: the run directory.
        run: a run's path or name; None for the latest.
        trackers: names.
        project: under which they keep the run.
        is_over: waits for some seconds, and returns whether the run has ended; None sends what is there.
    """

    store: RunStore
    run: str | None
    trackers: tuple[str, ...]
    project: str = "seqrl"
    is_over: Callable[[float], bool] | None = None


@dataclass(frozen=True)
class TrackReport:
    """Result of ``runs track``: log steps sent, by tracker."""

    run: str
    id: str
    sent: dict[str, int]

    def text(self) -> str:
        """One line per tracker."""
        return "\n".join(f"{name}: {counted(steps, 'new log step')} of {self.run}" for name, steps in self.sent.items())


def run(request: TrackRequest, console: Console) -> TrackReport:
    """Send a run to trackers: configuration, log steps, scores of plans, figures and videos; each once.

    Raises:
        SeqrlError: there is no such run or tracker, or a tracker failed.
    """
    folder, record = _found(request, console)
    sent = {}
    for name in request.trackers:
        try:
            sent[name] = _send(request, folder, record, name)
        except SeqrlError:
            raise
        except Exception as error:  # a tracker's library may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SeqrlError(f"{name} failed: {reason}", "the run itself is unchanged; try again later") from error
    return TrackReport(request.store.name_of(folder.path), run_id(record), sent)


def dry_run(request: TrackRequest, console: Console) -> None:
    """Print which run would be sent where."""
    folder, record = _found(request, console)
    facts = {"run": str(folder.path), "id": run_id(record), "to": ", ".join(request.trackers)}
    console.emit(facts)
    console.show_facts(facts)


def _found(request: TrackRequest, console: Console) -> tuple[RunFolder, RunRecord]:
    for name in request.trackers:
        check_tracker(name)
    folder = request.store.find(request.run, console.warn)
    return folder, read_record(folder.record)


def run_id(record: RunRecord) -> str:
    """The id of a run in all trackers, the same for a copy of it on another machine."""
    text = f"{record.dataset} {record.name} {record.created}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _send(request: TrackRequest, folder: RunFolder, record: RunRecord, name: str) -> int:
    """Send a run to one tracker, until it is over; returns the number of log steps."""
    own = make_folder(tracker_folder(folder.trackers, name))
    feed = Feed(_described(request, folder, record, own), make_tracker(name), folder.metrics)
    sent = feed.send()
    while request.is_over is not None and not request.is_over(POLL_SECONDS):
        sent += feed.send()
    sent += feed.send()
    feed.send_results(results_of(folder))
    feed.end(status_of(folder, read_record(folder.record)))
    return sent


def _described(request: TrackRequest, folder: RunFolder, record: RunRecord, own: Path) -> TrackedRun:
    config = dict(_dotted(read_yaml(folder.config))) if folder.config.exists() else {}
    name = request.store.name_of(folder.path)
    group = f"{record.dataset}/{record.arch}"
    facts = record.model_dump(mode="json", exclude={"argv", "tasks", "status", "updated", "heard"})
    return TrackedRun(
        run_id(record), name, group, request.project, own, config, {**facts, "argv": " ".join(record.argv)}
    )


def results_of(folder: RunFolder) -> Results:
    """Mean scores and returns of each plan, and all figures and videos."""
    from seqrl_cli.reports.results import read_results  # imports PyTorch, and a tracker follows a run without it

    values: dict[str, list[float]] = defaultdict(list)
    if folder.plans.is_dir():
        for one in read_results(folder.plans).episodes:
            plan = one.path.parent.name
            values[f"plan/{plan}/return"].append(one.return_)
            if one.score is not None:
                values[f"plan/{plan}/score"].append(100 * one.score)
    scores = {name: sum(found) / len(found) for name, found in values.items()}
    return Results(scores, {**_media(folder.plots, "plots"), **_media(folder.videos, "videos")})


def _media(folder: Path, kind: str) -> dict[str, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {f"{kind}/{path.name}": path for path in files if path.suffix in _MEDIA and path.is_file()}


def _dotted(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        inner = _dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
        found += inner
    return found

"""``seqrl runs track``: send a run to trackers, once or while it grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seqrl_cli.console import Console, counted
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder
from seqrl_cli.runs.layout import TRACKERS
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.feed import Feed
from seqrl_cli.tracking.process import tracker_folder
from seqrl_cli.tracking.trackers import check_tracker, make_tracker
from seqrl_cli.workflows.track.sources import Source, find_source

POLL_SECONDS = 2.0


@dataclass(frozen=True)
class TrackRequest:
    """Options of ``seqrl runs track``.

    Attributes:
        store: the run directory.
        run: a run's path or name; None for the latest.
        trackers: names of the trackers.
        project: the project under which they keep the run.
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
    source = _found(request, console)
    sent = {}
    for name in request.trackers:
        try:
            sent[name] = _send(request, source, name)
        except SeqrlError:
            raise
        except Exception as error:  # a tracker's library may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SeqrlError(f"{name} failed: {reason}", "the run itself is unchanged; try again later") from error
    return TrackReport(request.store.name_of(source.path), source.id, sent)


def dry_run(request: TrackRequest, console: Console) -> None:
    """Print which run would be sent where."""
    source = _found(request, console)
    facts = {"run": str(source.path), "id": source.id, "to": ", ".join(request.trackers)}
    console.emit(facts)
    console.show_facts(facts)


def _found(request: TrackRequest, console: Console) -> Source:
    for name in request.trackers:
        check_tracker(name)
    return find_source(request.store, request.run, console.warn)


def _send(request: TrackRequest, source: Source, name: str) -> int:
    """Send a run to one tracker, until it is over; returns the number of log steps."""
    own = make_folder(tracker_folder(source.path / TRACKERS, name))
    described = source.described(request.store.name_of(source.path), request.project, own)
    feed = Feed(described, make_tracker(name), source.log)
    sent = feed.send()
    while request.is_over is not None and not request.is_over(POLL_SECONDS):
        sent += feed.send()
    sent += feed.send()
    feed.send_results(source.results())
    feed.end(source.status())
    return sent

"""Feeds a tracker from a run's log: while it grows, and afterwards; each line once.

A file beside the tracker's own remembers how far it has come. A run that resumes from a checkpoint logs some steps
again, with the same numbers: what was sent is not sent again, and steps never go back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from seqrl_cli.files.atomic import write_json_atomic
from seqrl_cli.files.json_text import read_json
from seqrl_cli.tracking.metrics import LogLine, is_evaluation, read_lines
from seqrl_cli.tracking.trackers import TrackedRun, Tracker

_STATE = "sent.json"


@dataclass(frozen=True)
class Results:
    """What there is of a run besides its log.

    Attributes:
        scores: numbers of plans, by name.
        media: figures and videos, by name.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    media: Mapping[str, Path] = field(default_factory=dict)


class Log(Protocol):
    """The log steps of a run."""

    def size(self) -> int:
        """Bytes, so that one can see whether there are new lines."""

    def lines(self) -> list[LogLine]:
        """All lines that there are now."""


@dataclass(frozen=True)
class FileLog:
    """The log of one file."""

    path: Path

    def size(self) -> int:
        """Bytes of the file; 0 if it is absent."""
        return self.path.stat().st_size if self.path.exists() else 0

    def lines(self) -> list[LogLine]:
        """All lines of the file; none if it is absent."""
        return read_lines(self.path)


class Feed:
    """Sends a run to one tracker.

    Args:
        run: the run.
        tracker: the tracker to send to.
        log: the run's log.
    """

    def __init__(self, run: TrackedRun, tracker: Tracker, log: Log) -> None:
        self._run = run
        self._tracker = tracker
        self._log = log
        self._path = run.folder / _STATE
        self._state = self._known()
        self._size = -1
        tracker.begin(run)

    def send(self) -> int:
        """Send the lines that are new; returns how many."""
        size = self._log.size()
        if size == self._size:
            return 0
        self._size = size
        new = self._new_lines()
        for line in new:
            self._tracker.log(line.step, finite(line.values))
        if new:
            self._remember()
        return len(new)

    def send_results(self, results: Results) -> None:
        """Send scores and media that are new or have changed."""
        scores = finite(results.scores)
        if scores and scores != self._state["scores"]:
            self._tracker.scores(scores)
        media = {name: _mark(path) for name, path in results.media.items()}
        for name, mark in media.items():
            if self._state["media"].get(name) != mark:
                self._tracker.media(name, results.media[name])
        self._state |= {"scores": scores, "media": media}
        self._remember()

    def end(self, status: str) -> None:
        """Say how the run ended, or that it has not ended."""
        self._tracker.end(status)

    def _new_lines(self) -> list[LogLine]:
        """Lines after the last that was sent: of later steps, or further ones of the same step.

        Evaluations in the middle of training come later than the losses of their step, and are counted separately.
        """
        last, seen = self._state["step"], 0
        new, evaluations = [], []
        for line in self._log.lines():
            if is_evaluation(line):
                evaluations.append(line)
                continue
            seen += line.step == last
            if line.step > last or (line.step == last and seen > self._state["lines"]):
                new.append(line)
        new.sort(key=lambda line: line.step)
        if new:
            newest = new[-1].step
            before = self._state["lines"] if newest == last else 0
            self._state |= {"step": newest, "lines": before + sum(line.step == newest for line in new)}
        return new + self._new_evaluations(evaluations)

    def _new_evaluations(self, lines: list[LogLine]) -> list[LogLine]:
        """Evaluations after the last that was sent."""
        new = sorted((line for line in lines if line.step > self._state["evaluated"]), key=lambda line: line.step)
        if new:
            self._state["evaluated"] = new[-1].step
        return new

    def _remember(self) -> None:
        self._tracker.flush()
        write_json_atomic(self._path, self._state)

    def _known(self) -> dict[str, Any]:
        """How far an earlier process has come with this run; from the start for another run of its name."""
        fresh = {"id": self._run.id, "step": -1, "lines": 0, "evaluated": -1, "scores": {}, "media": {}}
        try:
            state = read_json(self._path)
            earlier = {"evaluated": state["step"]}  # what an earlier version has sent
            return {**fresh, **earlier, **state} if state["id"] == self._run.id else fresh
        except (OSError, ValueError, KeyError, TypeError):
            return fresh


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """The numbers that a tracker can draw."""
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def _mark(path: Path) -> str:
    """Changes when the file does."""
    found = path.stat()
    return f"{found.st_size}-{found.st_mtime_ns}"

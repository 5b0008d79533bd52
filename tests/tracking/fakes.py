"""Trackers of bad character, and one that writes down what it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from seqrl_cli.tracking.trackers import TrackedRun


class Notes:
    """Appends what it is told to ``notes.jsonl`` in its folder."""

    def begin(self, run: TrackedRun) -> None:
        self._path = run.folder / "notes.jsonl"
        self._note("begin", run.id, run.name, dict(run.config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._note("log", step, dict(values))

    def scores(self, values: Mapping[str, float]) -> None:
        self._note("scores", dict(values))

    def media(self, name: str, path: Path) -> None:
        self._note("media", name, path.name)

    def flush(self) -> None:
        pass

    def end(self, status: str) -> None:
        self._note("end", status)

    def _note(self, *what: object) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(what) + "\n")


class Raising(Notes):
    """Fails at the first log step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        raise ConnectionError("nobody answers")


class Hanging(Notes):
    """Never comes back from the first log step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        time.sleep(1e6)


def notes(folder: Path) -> list[list]:
    """What a tracker was told."""
    return [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]

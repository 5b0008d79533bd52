"""What trackers are told about a run: of a trained one, and of one that learned tasks one after the other."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from seqrl_cli.config.nested import dotted_items
from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord
from seqrl_cli.continual.run_files import read_record as read_continual_record
from seqrl_cli.continual.run_files import run_status as status_of_continual
from seqrl_cli.continual.run_log import ContinualLog
from seqrl_cli.files.yaml_text import read_yaml_mapping
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.status import status_of
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.feed import FileLog, Log, Results
from seqrl_cli.tracking.trackers import TrackedRun

_MEDIA = (".png", ".gif", ".mp4", ".webm")
_NO_FACTS = {"argv", "tasks", "base_tasks", "settings", "status", "updated", "heard"}


class Source(Protocol):
    """A run of some kind that is sent to trackers."""

    @property
    def path(self) -> Path:
        """The run's folder."""

    @property
    def id(self) -> str:
        """The same in all trackers, and for a copy of the run on another machine."""

    @property
    def log(self) -> Log:
        """The run's log steps."""

    def described(self, name: str, project: str, own: Path) -> TrackedRun:
        """The run as a tracker sees it.

        Args:
            name: path of the run below the run directory.
            project: the project under which the tracker keeps the run.
            own: the tracker's folder.
        """

    def results(self) -> Results:
        """Scores, figures and videos that there are now."""

    def status(self) -> str:
        """The run's status now, as one word."""


def find_source(store: RunStore, spec: str | None, on_warning: Callable[[str], None]) -> Source:
    """The run that a user names; the latest trained one if none is named.

    Raises:
        SeqrlError: there is none, or its record is damaged.
    """
    if spec is not None and (found := store.find_continual(spec)):
        folder = ContinualFolder(found)
        return ContinualSource(folder, read_continual_record(folder))
    run = store.find(spec, on_warning)
    return TrainedSource(run, read_record(run.record))


@dataclass(frozen=True)
class TrainedSource:
    """A run that was trained, fine-tuned or imported."""

    folder: RunFolder
    record: RunRecord

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def id(self) -> str:
        """An id made of the run's dataset, its name and the time of its creation."""
        return _id_of(self.record.dataset, self.record.name, self.record.created)

    @property
    def log(self) -> Log:
        """The run's ``metrics.jsonl``."""
        return FileLog(self.folder.metrics)

    def described(self, name: str, project: str, own: Path) -> TrackedRun:
        """See :class:`Source`."""
        config = dict(dotted_items(read_yaml_mapping(self.folder.config))) if self.folder.config.exists() else {}
        return TrackedRun(
            self.id, name, f"{self.record.dataset}/{self.record.arch}", project, own, config, _facts_of(self.record)
        )

    def results(self) -> Results:
        """Mean scores and returns of each plan, and all figures and videos."""
        from seqrl_cli.reports.results import read_results  # imports PyTorch, and a tracker follows a run without it

        values: dict[str, list[float]] = defaultdict(list)
        if self.folder.plans.is_dir():
            for one in read_results(self.folder.plans).episodes:
                plan = one.path.parent.name
                values[f"plan/{plan}/return"].append(one.return_)
                if one.score is not None:
                    values[f"plan/{plan}/score"].append(100 * one.score)
        scores = {name: sum(found) / len(found) for name, found in values.items()}
        return Results(scores, _media_of(self.path))

    def status(self) -> str:
        """See :class:`Source`."""
        return status_of(self.folder, read_record(self.folder.record))


@dataclass(frozen=True)
class ContinualSource:
    """A run that learns tasks one after the other."""

    folder: ContinualFolder
    record: ContinualRecord

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def id(self) -> str:
        """An id made of the run's suite, its name and the time of its creation."""
        return _id_of(self.record.suite, self.path.name, self.record.created)

    @property
    def log(self) -> Log:
        """The log steps and evaluations of all stages."""
        return ContinualLog(self.folder, self.record)

    def described(self, name: str, project: str, own: Path) -> TrackedRun:
        """See :class:`Source`."""
        config = {f"continual.{key}": value for key, value in self.record.settings.model_dump(mode="json").items()}
        facts = {**_facts_of(self.record), "tasks": [task.dataset for task in self.record.tasks]}
        return TrackedRun(
            self.id, name, f"{self.record.suite}/{self.record.settings.method}", project, own, config, facts
        )

    def results(self) -> Results:
        """What the run is judged by, once it has learned everything."""
        return Results(ContinualLog(self.folder, self.record).scores(), _media_of(self.path))

    def status(self) -> str:
        """See :class:`Source`."""
        return status_of_continual(self.folder, read_continual_record(self.folder)).word


def _id_of(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _facts_of(record: RunRecord | ContinualRecord) -> dict[str, Any]:
    """Versions, host, device and the like."""
    return {**record.model_dump(mode="json", exclude=_NO_FACTS), "argv": " ".join(record.argv)}


def _media_of(run: Path) -> dict[str, Path]:
    """All figures and videos of a run, by name."""
    return {**_media(run / "plots", "plots"), **_media(run / "videos", "videos")}


def _media(folder: Path, kind: str) -> dict[str, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {f"{kind}/{path.name}": path for path in files if path.suffix in _MEDIA and path.is_file()}

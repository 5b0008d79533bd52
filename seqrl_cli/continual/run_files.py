"""``continual.json`` and the stages of a continual run: the record, and what was measured after each task.

::

    runs/cw10/hide-lora-s42/
      continual.json             what learns what, from which model
      stages/00/                 before learning: what is known of the pretraining, and the backbone's evaluation
      stages/01-hammer/          metrics.jsonl  checkpoints/  learned.safetensors  evaluation.json
      stages/02-push-wall/ …
      trackers/                  what it is sent to
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import write_json_atomic
from seqrl_cli.files.json_text import read_json
from seqrl_cli.runs.layout import CONTINUAL, TRACKERS
from seqrl_cli.runs.record import CommandWords, Status, TaskRecord, host, now, refuse_newer_schema, versions
from seqrl_cli.runs.status import RunStatus, look_at
from seqrl_cli.runs.store import RunStore

SCHEMA_VERSION = 1

Content = TypeVar("Content", bound=BaseModel)


class TaskScore(BaseModel):
    """The episodes of one task after one stage.

    Attributes:
        dataset: id of the task's dataset.
        env_id: gymnasium id of the task's environment.
        episodes: number of episodes.
        mean_return: mean over episodes.
        success: fraction of episodes that were solved at any step; None if the environment does not report it.
        success_at_end: the same at the last step.
        inferred: fraction of steps with the task's own adapter, or none for tasks without one; None if the method does
            not infer tasks.
        inferred_first: the same over first steps.
        inferred_episodes: the same over last steps, after an episode's whole evidence.
        used: fraction of steps by adapter; ``-1`` is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    env_id: str
    episodes: int
    mean_return: float
    success: float | None
    success_at_end: float | None
    inferred: float | None = None
    inferred_first: float | None = None
    inferred_episodes: float | None = None
    used: dict[int, float] = {}


class Evaluation(BaseModel):
    """What was measured after one stage.

    Attributes:
        tasks: results on the suite's tasks, in its order.
        pretraining: results on the backbone's own tasks; empty where they were not played.
        seconds: time that the play took, in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    tasks: tuple[TaskScore, ...]
    pretraining: tuple[TaskScore, ...] = ()
    seconds: float = 0.0


class ContinualRecord(BaseModel):
    """The content of continual.json.

    Attributes:
        suite: the name of the tasks together.
        tasks: the tasks to learn, in order.
        base: path of the pretrained run below the run directory.
        base_sha256: hash of the weights that learning started from.
        base_tasks: the tasks of the pretraining.
        settings: see :class:`~seqrl_cli.config.continual.ContinualConfig`.
        device: the device that computed it.
        threads: CPU threads; sums depend on their number.
        trainable: numbers that learn in a task.
        parameters: numbers of the backbone.
        host: the machine that computes it; empty in records of earlier versions.
        heard: time of its last heartbeat while it ran.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    suite: str
    tasks: tuple[TaskRecord, ...] = Field(min_length=1)
    base: str
    base_sha256: str
    base_tasks: tuple[TaskRecord, ...]
    settings: ContinualConfig
    status: Status
    argv: CommandWords
    versions: dict[str, str]
    device: str = ""
    threads: int = 0
    trainable: int
    parameters: int
    host: str = ""
    heard: str | None = None
    created: str
    updated: str


def short_names(datasets: Sequence[str]) -> list[str]:
    """The last parts of datasets' ids, or the whole ids where two would be alike."""
    short = [name.rpartition("/")[2] for name in datasets]
    return short if len(set(short)) == len(set(datasets)) else list(datasets)


@dataclass(frozen=True)
class StageFolder:
    """One stage of a continual run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the training, until the stage is learned."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON object per log step."""
        return self.path / "metrics.jsonl"

    @property
    def learned(self) -> Path:
        """Everything that was learned up to the end of the stage."""
        return self.path / "learned.safetensors"

    @property
    def evaluation(self) -> Path:
        """What was measured after the stage."""
        return self.path / "evaluation.json"


@dataclass(frozen=True)
class ContinualFolder:
    """The folder of a continual run."""

    path: Path

    @property
    def record(self) -> Path:
        """The record."""
        return self.path / CONTINUAL

    @property
    def contents(self) -> list[Path]:
        """All files and folders of a run, the record first."""
        return [self.record, self.path / "stages", self.path / TRACKERS]

    def at(self, path: Path) -> ContinualFolder:
        """A run's folder elsewhere."""
        return ContinualFolder(path)

    def stage(self, number: int, task: str | None) -> StageFolder:
        """A stage by its number, 0 before learning, and by the last part of its dataset's name."""
        name = f"{number:02d}" if task is None else f"{number:02d}-{task.rpartition('/')[2]}"
        return StageFolder(self.path / "stages" / name)

    def stages(self, record: ContinualRecord) -> list[StageFolder]:
        """All stages of a run, whether or not they exist yet."""
        joint = record.settings.method == "joint"
        names = ["all"] if joint else [task.dataset for task in record.tasks]
        return [self.stage(0, None), *(self.stage(number, name) for number, name in enumerate(names, start=1))]


def write_base(folder: ContinualFolder, record: ContinualRecord, base: str) -> None:
    """Write continual.json with the new name of the pretrained run; ``updated`` stays, since runs are sorted by it."""
    _write(folder, record, base=base)


def write_record(folder: ContinualFolder, record: ContinualRecord) -> ContinualRecord:
    """Write continual.json with the time, the versions and the host of this process; returns what was written."""
    return _write(folder, record, updated=now(), versions=versions(), host=host())


def write_heartbeat(folder: ContinualFolder, record: ContinualRecord, time: str) -> None:
    """Write continual.json with the time at which the run was last heard."""
    _write(folder, record, heard=time)


def _write(folder: ContinualFolder, record: ContinualRecord, **changes: Any) -> ContinualRecord:
    record = record.model_copy(update=changes)
    write_json_atomic(folder.record, record.model_dump(mode="json"))
    return record


def read_record(folder: ContinualFolder) -> ContinualRecord:
    """Read continual.json; raises SeqrlError if it is missing, damaged or of a newer schema."""
    return _read(folder.record, ContinualRecord)


def find_runs(store: RunStore) -> tuple[list[tuple[ContinualFolder, ContinualRecord]], list[SeqrlError]]:
    """All readable continual runs of a run directory, the newest last, and an error for each other one."""
    found, damaged = [], []
    for path in store.files_named(CONTINUAL):
        folder = ContinualFolder(path.parent)
        try:
            found.append((folder, read_record(folder)))
        except SeqrlError as error:
            damaged.append(error)
    return sorted(found, key=lambda run: run[1].updated), damaged


def run_status(folder: ContinualFolder, record: ContinualRecord) -> RunStatus:
    """The status of a run, from its record and its lock."""
    return look_at(folder.path, record.status, record.host, record.heard or record.updated)


def write_evaluation(stage: StageFolder, evaluation: Evaluation) -> None:
    """Write what was measured after a stage."""
    write_json_atomic(stage.evaluation, evaluation.model_dump(mode="json"))


def read_evaluation(stage: StageFolder) -> Evaluation:
    """Read what was measured after a stage; raises SeqrlError if it is missing or damaged."""
    return _read(stage.evaluation, Evaluation)


def success_matrix(evaluations: list[Evaluation], *, at_end: bool = False) -> NDArray[np.float64]:
    """Success (stages, tasks) on each task after each stage; returns where an environment reports no success."""

    def value(score: TaskScore) -> float:
        success = score.success_at_end if at_end else score.success
        return score.mean_return if success is None else success

    return np.array([[value(score) for score in one.tasks] for one in evaluations])


def _read(path: Path, model: type[Content]) -> Content:
    """A JSON file's checked content."""
    hint = "`seqrl continual` with --force starts over"
    try:
        values = read_json(path)
        refuse_newer_schema(path, values, SCHEMA_VERSION)
        return model.model_validate(values)
    except FileNotFoundError as error:
        raise SeqrlError(f"there is no {path}: nothing was measured or learned there", hint) from error
    except (OSError, ValueError) as error:  # not JSON, or not of this form
        raise SeqrlError(f"{path} is damaged", hint) from error

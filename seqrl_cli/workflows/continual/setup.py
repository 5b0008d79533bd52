"""Set-up of ``seqrl continual``: the pretrained run, the suite, the method, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from pydantic import ValidationError

from seqrl_cli.artifacts.adapter_file import base_hash
from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.artifacts.locate import find_stored, locate
from seqrl_cli.artifacts.multi_task_family import TrainedMultiTask
from seqrl_cli.artifacts.task_fit import check_task
from seqrl_cli.artifacts.task_loading import load_tasks
from seqrl_cli.artifacts.train_job import count_parameters
from seqrl_cli.artifacts.trained_run import SavedRun, warn_unfinished
from seqrl_cli.config.architectures import ARCHITECTURES, in_words, names_with
from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.config.faults import hint_of, sentence
from seqrl_cli.config.value_text import value_text
from seqrl_cli.console import Console
from seqrl_cli.continual.adapter_specs import check_pool
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.methods import Method, method_named, settled
from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord, read_record
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.errors import RunConflictError, SeqrlError, UsageError, unknown
from seqrl_cli.models.device import choose_device
from seqrl_cli.runs.layout import check_name
from seqrl_cli.runs.record import now
from seqrl_cli.runs.store import RunStore

_OF_ONE_FILE = ("env_id", "dones", "reset_rows", "reference_min", "reference_max")
"""Keys of ``data`` that describe what the base was trained on, and not the tasks that come."""


@dataclass(frozen=True)
class ContinualRequest:
    """Options of ``seqrl continual``.

    Attributes:
        store: the run directory.
        run: the pretrained run, by path or name; None = the latest run.
        suite: a suite, or datasets joined by ``+``, in the order of learning.
        settings: dotted keys below ``continual.``.
        name: name of the new run; None = ``<method>-s<seed>``.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        force: start over if the run exists.
        argv: the command line, for the record.
        track: trackers that follow the run.
    """

    store: RunStore
    run: str | None
    suite: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    device: str = "auto"
    threads: int | None = None
    force: bool = False
    argv: Sequence[str] = ()
    track: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContinualJob:
    """A continual run, resolved before anything is written.

    Attributes:
        folder: the run's folder, which may exist.
        record: the run's record as it will be written.
        base: the pretrained model.
        base_data: the data of the pretraining; None if they are not in the run directory.
        dataset: the suite.
        method: what learns, and how.
        device: the model's device.
        data: the data of the suite's tasks, in the order of learning.
    """

    folder: ContinualFolder
    record: ContinualRecord
    base: TrainedMultiTask
    base_data: DatasetRef | None
    dataset: DatasetRef
    method: Method
    device: torch.device
    data: tuple[TaskData, ...]

    @property
    def settings(self) -> ContinualConfig:
        """The numbers of the method."""
        return self.record.settings

    def learner(self) -> Learner:
        """A fresh learner; changes the pretrained model."""
        return Learner(self.base.model, self.method, self.settings, self.record.tasks, self.base.config.tasks)


def resolve(request: ContinualRequest, console: Console) -> ContinualJob:
    """Find the run and the suite, make the suite's data if it is missing, and check that all fit.

    Raises:
        UsageError: an unknown method, suite or key, or a bad value.
        SeqrlError: there is no such run, or the tasks do not fit its model.
    """
    asked = _settings(request.settings)
    method = method_named(asked.method)
    settings = settled(asked, method)
    saved = find_base(request, console)
    dataset = locate(request.store, request.suite)
    device = choose_device(request.device)
    base = cast(TrainedMultiTask, load_trained(saved, device, on_warning=console.warn))
    warn_unfinished(saved.folder, saved.record, base.step, console.warn)
    dataset.ensure(saved.config.data.model_copy(update=dict.fromkeys(_OF_ONE_FILE)), console)
    data = load_tasks(dataset, saved.config.tasks).tasks
    for task in data:
        check_task(base.model, task.facts, str(saved.folder.path))
    check_pool(method, settings, len(data))
    name = check_name("run", request.name or f"{settings.method}-s{settings.seed}")
    folder = ContinualFolder(dataset.folder.path / name)
    record = ContinualRecord(
        suite=dataset.suite or dataset.id,
        tasks=tuple(task.facts for task in data),
        base=request.store.name_of(saved.folder.path),
        base_sha256=base_hash(base.model),
        base_tasks=saved.record.tasks,
        settings=settings,
        status="running",
        argv=list(request.argv),
        versions={},
        trainable=0,
        parameters=count_parameters(base.model),
        created=now(),
        updated=now(),
    )
    if folder.record.exists() and not request.force:
        record = _same_run(folder, record)
    base_data = find_stored(request.store, saved.record.dataset)
    return ContinualJob(folder, record, base, base_data, dataset, method, device, data)


def find_base(request: ContinualRequest, console: Console) -> SavedRun:
    """The pretrained run.

    Raises:
        SeqrlError: there is no such run, or it is of one task.
    """
    saved = SavedRun.read(request.store.find(request.run, console.warn))
    if not saved.record.tasks:
        supported = in_words(names_with("multi-task"))
        message = f"{saved.folder.path} is {ARCHITECTURES[saved.record.arch]}, and only {supported} can learn on"
        raise SeqrlError(message, f"train one: seqrl train mt8 --arch {names_with('multi-task')[0]}")
    return saved


def missing_data(request: ContinualRequest) -> tuple[str, ...]:
    """Datasets of the suite that are not in the run directory.

    Raises:
        UsageError: an unknown method, suite or key, or a bad value.
    """
    method_named(_settings(request.settings).method)
    return tuple(part.id for part in locate(request.store, request.suite).members if not part.exists)


def _settings(overrides: Mapping[str, Any]) -> ContinualConfig:
    foreign = [key for key in overrides if not key.startswith("continual.")]
    if foreign:
        raise UsageError(f"{foreign[0]!r} cannot be changed here", "continual accepts keys that start with continual.")
    values = {key.removeprefix("continual."): value for key, value in overrides.items()}
    for key in values:
        if key not in ContinualConfig.model_fields:
            raise unknown("key", f"continual.{key}", [f"continual.{one}" for one in ContinualConfig.model_fields])
    try:
        return ContinualConfig.model_validate(values)
    except ValidationError as error:
        hint = hint_of(error) or "`seqrl continual --help` explains the options"
        raise UsageError(f"bad value: continual.{sentence(error)}", hint) from error


def _same_run(folder: ContinualFolder, requested: ContinualRecord) -> ContinualRecord:
    """The record of an existing run that the same request made.

    Raises:
        RunConflictError: it has other settings, tasks, or another base.
    """
    existing = read_record(folder)
    hint = "give the new run another --name, or start over with --force"
    if existing.base != requested.base or existing.base_sha256 != requested.base_sha256:
        changed = "another model" if existing.base != requested.base else f"{existing.base} as it was before"
        raise RunConflictError(f"{folder.path} continues {changed}, not the present {requested.base}", hint)
    if existing.tasks != requested.tasks:
        raise RunConflictError(f"{folder.path} learns other data of {existing.suite}", hint)
    for key, value in existing.settings.model_dump().items():
        if getattr(requested.settings, key) != value:
            own, wanted = value_text(value), value_text(getattr(requested.settings, key))
            raise RunConflictError(f"{folder.path} was begun with continual.{key}={own}, not {wanted}", hint)
    return existing

"""Families of architectures: their training data, how they are trained, and how their runs are loaded.

Workflows call a family and never branch on the architecture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.fine_tuning import adapt, base_folder, check_base, put_learned, refuse_circle
from seqrl_cli.artifacts.multi_task_family import MultiTaskFamily
from seqrl_cli.artifacts.policy_family import PolicyFamily
from seqrl_cli.artifacts.sizes import Sizes
from seqrl_cli.artifacts.token_family import TokenFamily
from seqrl_cli.artifacts.train_job import TrainingData, TrainJob
from seqrl_cli.artifacts.trained_run import SavedRun, TrainedRun
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.models.adapters import AdapterSet
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord


class Family(Protocol):
    """What workflows need from a kind of architecture."""

    def ensure(self, dataset: DatasetRef, config: Config, console: Console) -> TrainingData:
        """The training data of a configuration, made if it is missing.

        Raises:
            SeqrlError: the dataset cannot be made, or was made with other settings.
        """

    def current(self, dataset: DatasetRef, config: Config, console: Console) -> TrainingData | None:
        """The training data of a configuration, if it exists."""

    def placeholder(
        self, dataset: DatasetRef, config: Config, sizes: Sizes, offsets: np.ndarray
    ) -> TrainingData | None:
        """Meaningless data of the expected sizes; None if the sizes are unknown.

        Args:
            dataset: the missing dataset.
            config: the run's configuration.
            sizes: the expected sizes.
            offsets: (episodes + 1,) first rows of the episodes, and the number of rows.
        """

    def facts(self, data: Any) -> dict[str, object]:
        """Facts about the data, or about their absence, that a dry run prints."""

    def data_bytes(self, config: Config, sizes: Sizes) -> int | None:
        """Bytes of the files made from the dataset before training; None if unknown."""

    def complete(self, config: Config, data: Any, source: object) -> Config:
        """The configuration with the values that depend on the data; ``source`` is named in errors."""

    def prepare(self, config: Config, data: Any, step_limit: int, device: torch.device) -> TrainJob:
        """Model, windows and settings of a run; the same request gives the same job.

        Args:
            config: the run's configuration.
            data: data from ``ensure``, ``current`` or ``placeholder``.
            step_limit: most steps of an episode in its environment.
            device: the device to put the model on.

        Raises:
            SeqrlError: the model settings are invalid, or the dataset has no window.
        """

    def data_like(self, base: Any, dataset: DatasetRef, config: Config) -> TrainingData:
        """The training data of a model that is fine-tuned, from a dataset that exists.

        Raises:
            SeqrlError: the model cannot read its observations or predict its actions.
        """

    def prepare_from(self, base: Any, config: Config, data: Any, step_limit: int) -> TrainJob:
        """Make the job that :meth:`prepare` makes, but with a trained model in place of a new one.

        Raises:
            SeqrlError: the dataset has no window.
        """

    def fine_tuned(self, base: Any, run: SavedRun, step: int) -> TrainedRun:
        """A fine-tuned run after ``step`` updates; ``base`` has its model already."""

    def as_run(self, model: Any, data: Any, config: Config, record: RunRecord) -> TrainedRun:
        """A model in memory as that of a run; a token model takes its bins from ``data``."""

    def load(
        self,
        run: SavedRun,
        device: torch.device,
        checkpoint: int | None,
        on_warning: Callable[[str], None] | None,
    ) -> TrainedRun:
        """See :func:`load_trained`."""


FAMILIES: dict[str, Family] = {"planner": TokenFamily(), "policy": PolicyFamily(), "multi-task": MultiTaskFamily()}
"""The families by the name of their kind."""


@dataclass(frozen=True)
class LoadedRun:
    """A run's model with its adapter.

    Attributes:
        trained: the run; the adapter is in use.
        adapters: the adapters in use; None if the run has none.
    """

    trained: TrainedRun
    adapters: AdapterSet | None


def family_of(arch: str) -> Family:
    """The family of an architecture."""
    return FAMILIES[ARCHITECTURES[arch].kind.name]


def load_trained(
    run: RunFolder | SavedRun,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> TrainedRun:
    """Load a run's model, whatever its architecture.

    Args:
        run: the run.
        device: the device to put the model on.
        checkpoint: updates of the checkpoint; None = the newest whole one.
        on_warning: called with a message for each damaged checkpoint that is skipped.

    Raises:
        SeqrlError: a file is missing or damaged, the checkpoint does not exist, or the data at hand are not those that
            the run was trained on.
    """
    return load_adapted(run, device, checkpoint, on_warning).trained


def load_adapted(
    run: RunFolder | SavedRun,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> LoadedRun:
    """Load a run as :func:`load_trained` does; a fine-tuned run is its base model with what was learned.

    Raises:
        SeqrlError: likewise, or the base model is gone or another one.
    """
    saved = SavedRun.of(run)
    family = family_of(saved.config.model.arch)
    if saved.record.base is None:
        return LoadedRun(family.load(saved, device, checkpoint, on_warning), None)
    base = load_base(saved.folder, saved.record, device)
    step, weights, source = saved.weights(checkpoint, on_warning)
    adapters = adapt(base.model, saved.config.finetune, saved.config.seed)
    put_learned(base.model, weights, source)
    base.model.eval()
    return LoadedRun(family.fine_tuned(base, saved, step), adapters)


def load_merged(
    run: RunFolder | SavedRun,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> TrainedRun:
    """Load a run as :func:`load_trained` does; an adapter becomes part of the model's own weights.

    Raises:
        SeqrlError: likewise, or the adapter cannot be merged.
    """
    loaded = load_adapted(run, device, checkpoint, on_warning)
    if loaded.adapters is not None:
        loaded.adapters.merge(0)
    return loaded.trained


def load_base(run: RunFolder, record: RunRecord, device: torch.device) -> TrainedRun:
    """The model that a run fine-tuned, as it was then.

    Raises:
        SeqrlError: its run or its checkpoint is gone, or is another one.
    """
    assert record.base is not None
    refuse_circle(run, record)
    trained = load_merged(base_folder(run, record), device, record.base.step)
    check_base(trained.model, record.base, run)
    return trained

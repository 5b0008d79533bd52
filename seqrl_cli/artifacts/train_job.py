"""What a training needs before it starts: data, model, settings and the trainer."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
from torch import nn

from seqrl_cli.config.schema import Config
from seqrl_cli.models.build import device_of
from seqrl_cli.models.size import SIZES_HINT, require_memory
from seqrl_cli.runs.record import TaskRecord
from seqrl_cli.training.checkpoints import OPTIMIZER_STATE_BYTES
from seqrl_cli.training.loop import seconds_per_update
from seqrl_cli.training.optimizer import trainable_parameters
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.training.trainer import LoopSettings, TrainerFactory

_NUMBER, _HALF = 4, 2  # bytes of a gradient, and at least of an activation

_TIMED_BATCH = 16  # windows; a larger batch takes as many times as long
_BRIEF = 0.2  # seconds that such a batch may take for whole ones to be timed; what is fixed counts little beyond

OTHER_SIZES_HINT = "fine-tune on data of the same kind of environment, or train a new model"


class TrainingData(Protocol):
    """What a model is trained on."""

    @property
    def env_id(self) -> str | None:
        """Gymnasium id of the environment; None if unknown."""

    @property
    def fingerprint(self) -> str:
        """Hash of the data, which ties a run to its data."""


@dataclass(frozen=True)
class TrainJob:
    """Everything that the loop needs, made from a request.

    Attributes:
        model: the model to train, on its device.
        train: windows to train on.
        validation: held-out windows; None when there are none.
        settings: settings of the training loop.
        trainer: makes the trainer, which makes the updates.
        data: the data that the windows were cut from.
        return_range: worst and best return of the data, for models with a target return; None for others.
        tasks: facts about the tasks, for models of many tasks.
    """

    model: nn.Module
    train: Sized
    validation: Sized | None
    settings: LoopSettings
    trainer: TrainerFactory
    data: TrainingData
    return_range: tuple[float, float] | None = None
    tasks: tuple[TaskRecord, ...] = ()


def held_out_generator(config: Config) -> np.random.Generator:
    """The random generator that draws the held-out episodes."""
    return np.random.default_rng([config.seed, SeedStream.HELD_OUT])


def estimate_seconds(job: TrainJob, done: int = 0) -> float:
    """Seconds that the updates after the first ``done`` take here, from a few updates of a copy of the model."""
    left = max(0, job.settings.updates - done)
    return time_of_update(job) * left if left else 0.0


def time_of_update(job: TrainJob) -> float:
    """Seconds that an update takes here, timed on a copy of the model; where it takes long, with a smaller batch."""
    batch = getattr(job.settings, "batch_size", 0)
    batch = batch if job.tasks else min(batch, len(job.train))
    if batch > _TIMED_BATCH:
        small = replace(cast(Any, job.settings), batch_size=_TIMED_BATCH)
        seconds = seconds_per_update(job.model, job.train, small, updates=1, trainer=job.trainer)
        if seconds > _BRIEF:
            return seconds * batch / _TIMED_BATCH
    return seconds_per_update(job.model, job.train, job.settings, trainer=job.trainer)


def require_training_memory(job: TrainJob, config: Config, processes: int = 1) -> None:
    """Stop before a training that cannot fit: its weights, gradients and moments, and what each block keeps of a batch.

    Args:
        job: what is trained.
        config: the run's configuration.
        processes: number of processes that share a batch.

    Raises:
        SeqrlError: the device has less free memory than the least that it takes.
    """
    section, device = config.model, device_of(job.model)
    batch = config.train.batch_size
    windows = (batch if job.tasks else min(batch, len(job.train))) // processes
    kept = windows * getattr(section, "sequence_length", 1) * section.width * section.n_layer * _HALF
    needed = count_trainable(job.model) * (_NUMBER + OPTIMIZER_STATE_BYTES) + kept
    require_memory(needed, device, "training this model", f"{SIZES_HINT}, or train.batch_size")


def count_parameters(model: nn.Module) -> int:
    """Numbers in a model, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_trainable(model: nn.Module) -> int:
    """Numbers in a model that learn."""
    return sum(parameter.numel() for parameter in trainable_parameters(model).values())


def parameters_text(model: nn.Module) -> str:
    """``85,000 parameters``; if some are frozen, also how many are trainable."""
    total, trainable = count_parameters(model), count_trainable(model)
    return f"{total:,} parameters" + (f", {trainable:,} trainable" if trainable != total else "")

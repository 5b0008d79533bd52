"""How a multi-domain model learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from seqrl_cli.data.task_sampler import SamplingRules
from seqrl_cli.training.augment import Augmentation
from seqrl_cli.training.optimizer import OptimizerName
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.task_losses import Part


@dataclass(frozen=True)
class TaskTrainSettings:
    """How a multi-domain model learns.

    Attributes:
        updates: updates of the whole run, including those before a resume.
        seed: seed of the windows, dropout and augmentations; not of the initial weights.
        schedule: schedule of the learning rate.
        rules: how windows are drawn.
        batch_size: windows per domain and update.
        learning_rate: the full rate.
        weights: weights in the loss of what is predicted: action tokens, next states and returns-to-go. The model
            needs a head for each; what is not named is not learned.
        optimizer: see ``optimizer_by_name``.
        matrix_rate: Muon's learning rate before the schedule.
        betas: decays of the optimizer's moments.
        weight_decay: see ``optimizer``.
        grad_clip: largest norm of all gradients together.
        accumulate: draws per update, whose gradients are averaged.
        label_smoothing: probability that the targets give to all ids alike.
        mean_weight: see :class:`~seqrl_cli.training.task_losses.TaskObjective`.
        augmentation: augmentation of images.
        patience: number of measurements without improvement that a plateau schedule tolerates.
        plateau_every: updates between measurements of the validation loss, for a plateau schedule.
        precision: ``auto`` means bf16 where it is faster.
        log_every: updates between log steps.
        checkpoint_every: updates between checkpoints; each follows a validation.
        keep_checkpoints: newest checkpoints to keep.
        validation_batches: draws of held-out windows per validation.
    """

    updates: int
    seed: int
    schedule: RateSchedule
    rules: SamplingRules = field(default_factory=SamplingRules)
    batch_size: int = 64
    learning_rate: float = 3e-3
    weights: Mapping[Part, float] = field(default_factory=lambda: {"actions": 1.0})
    optimizer: OptimizerName = "adamw"
    matrix_rate: float = 0.03
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    accumulate: int = 1
    label_smoothing: float = 0.0
    mean_weight: float = 0.0
    augmentation: Augmentation = "none"
    patience: int = 3
    plateau_every: int = 200
    precision: Literal["auto", "float32", "bf16"] = "float32"
    log_every: int = 100
    checkpoint_every: int = 500
    keep_checkpoints: int = 3
    validation_batches: int = 4

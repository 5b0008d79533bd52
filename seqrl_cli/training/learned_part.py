"""Checkpoints of what learns alone: the frozen rest is a base model's, and is saved with that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.trainer import Trainer, TrainerFactory
from seqrl_cli.training.world import World


class LearnedPartTrainer:
    """A trainer whose checkpoints contain only the parameters that learn.

    Args:
        trainer: makes the updates.
        model: the model that it trains.
    """

    def __init__(self, trainer: Trainer, model: nn.Module) -> None:
        self.trainer = trainer
        self.model = model

    @property
    def step(self) -> int:
        """Updates made."""
        return self.trainer.step

    @property
    def trainable_parameters(self) -> Mapping[str, nn.Parameter]:
        """The model's parameters that learn, by name."""
        return self.trainer.trainable_parameters

    def update(self) -> None:
        """Make one optimizer step on the next batch."""
        self.trainer.update()

    def read_losses(self) -> None:
        """Read the losses of the updates made so far; raises SeqrlError if one is not finite."""
        self.trainer.read_losses()

    def measure(self, *, validate: bool) -> dict[str, float | None]:
        """The numbers of the log step at this update."""
        return self.trainer.measure(validate=validate)

    def checkpoint(self) -> Checkpoint:
        """The trainer's state with what learns of the model; raises SeqrlError if a loss was not finite."""
        whole = self.trainer.checkpoint()
        learned = {name: tensor for name, tensor in whole.model.items() if name in self.trainable_parameters}
        return replace(whole, model=learned)

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint; raises SeqrlError if it belongs to another model or other data."""
        frozen = {name: one for name, one in self.model.state_dict().items() if name not in self.trainable_parameters}
        self.trainer.restore(replace(checkpoint, model={**frozen, **checkpoint.model}), on_warning)


def learned_part(make: TrainerFactory) -> TrainerFactory:
    """A factory of :class:`LearnedPartTrainer`, from one of trainers of whole models."""

    def make_of_part(model: Any, train: Any, validation: Any, settings: Any, world: World) -> Trainer:
        return LearnedPartTrainer(make(model, train, validation, settings, world), model)

    return make_of_part

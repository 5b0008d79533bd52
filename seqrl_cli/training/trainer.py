"""The interface between the training loop and what it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import nn

from seqrl_cli.training.checkpoints import Checkpoint
from seqrl_cli.training.world import World


class LoopSettings(Protocol):
    """The settings that the loop itself reads."""

    @property
    def updates(self) -> int:
        """Updates of the whole run, including those before a resume."""

    @property
    def log_every(self) -> int:
        """Updates between log steps."""

    @property
    def checkpoint_every(self) -> int:
        """Updates between checkpoints; each follows a validation."""

    @property
    def keep_checkpoints(self) -> int:
        """Newest checkpoints to keep."""


class Trainer(Protocol):
    """Trains a model, one update at a time: ``TokenTrainer``, ``PolicyTrainer`` or ``TaskTrainer``."""

    @property
    def step(self) -> int:
        """Updates made."""

    def update(self) -> None:
        """Make one optimizer step on the next batch."""

    def read_losses(self) -> None:
        """Read the losses of the updates made so far; raises SeqrlError if one is not finite."""

    @property
    def trainable_parameters(self) -> Mapping[str, nn.Parameter]:
        """The model's parameters that learn, by name; the others are frozen."""

    def measure(self, *, validate: bool) -> dict[str, float | None]:
        """The numbers of the log step at this update, by name; None for one that was not measured."""

    def checkpoint(self) -> Checkpoint:
        """Everything that ``restore`` needs, not copied: the next update changes it.

        Raises:
            SeqrlError: a loss was not finite.
        """

    def restore(self, checkpoint: Checkpoint, on_warning: Callable[[str], None] | None = None) -> None:
        """Resume from a checkpoint; raises SeqrlError if it belongs to another model or other data."""


TrainerFactory = Callable[[Any, Any, Any, Any, World], Trainer]
"""Makes a trainer from a model, training windows, held-out windows, settings and the processes that train together.

In practice, it is a trainer's class.

It seeds PyTorch's global generators, from which dropout draws: call it inside ``preserve_rng_state`` only.
"""

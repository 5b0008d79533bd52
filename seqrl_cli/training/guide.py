"""What can accompany the training of a multi-domain model: adapters to choose, and losses to add."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from seqrl_cli.models.decision.multi_domain import TaskWindows


class Guide(Protocol):
    """Accompanies training. It keeps no state of its own between updates but what the model's state dict contains."""

    def before_windows(self, name: str, windows: TaskWindows, training: bool) -> None:
        """Called before the model sees windows of the input ``name``, in training and in validation."""

    def added_loss(self) -> Tensor | None:
        """Added to the loss of the windows that have just passed the model in training; None for nothing."""

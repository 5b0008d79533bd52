"""What all trainers do when they resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch
from torch import nn

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.acceleration import Precision
from seqrl_cli.training.checkpoints import Checkpoint

RESUME_HINT = "use the run's own settings, or start over with --force"


def restore_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into a model.

    Raises:
        SeqrlError: they belong to another model.
    """
    try:
        model.load_state_dict(checkpoint.model)
    except RuntimeError as error:
        raise SeqrlError(f"the checkpoint of step {checkpoint.step} belongs to another model", RESUME_HINT) from error


def require_optimizer(name: str, checkpoint: Checkpoint, unnamed: str | None = None) -> None:
    """Stop at a checkpoint of another optimizer.

    Args:
        name: name of the optimizer that resumes.
        checkpoint: names its own.
        unnamed: the optimizer of checkpoints from before there was a choice.

    Raises:
        SeqrlError: names both.
    """
    saved = checkpoint.state.get("optimizer", unnamed) if unnamed else checkpoint.state["optimizer"]
    if saved != name:
        raise SeqrlError(f"the checkpoint of step {checkpoint.step} is for {saved}, not for {name}", RESUME_HINT)


def saved_precision(state: Mapping[str, Any]) -> Precision:
    """The precision that a training state names; raises ValueError if it names none."""
    if state["precision"] not in get_args(Precision):
        raise ValueError("it names no precision")
    precision: Precision = state["precision"]
    return precision


def warn_of_threads(saved: int, on_warning: Callable[[str], None] | None) -> None:
    """Warn if a run resumes with another number of threads than it was saved with."""
    threads = torch.get_num_threads()
    if on_warning and saved != threads:
        on_warning(f"resuming with {threads} threads, but the run used {saved}: last digits may differ")

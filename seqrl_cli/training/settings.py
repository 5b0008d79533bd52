"""How to train, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqrl_cli.training.schedule import Schedule


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Args:
        updates: of the whole run, those before a resume included.
        schedule: of the learning rate.
        seed: of shuffling, dropout and the choice of validation windows; not of the initial weights.
        batch_size: windows an update.
        learning_rate: before the schedule.
        betas: AdamW's moment decays.
        weight_decay: on matrices of linear layers and heads.
        grad_clip: largest norm of all gradients together.
        action_weight: of action tokens in the loss; observation tokens have 1.
        reward_weight: of reward tokens.
        value_weight: of value tokens.
        precision: ``auto`` takes bf16 where it is faster.
        compile: whether to compile the model with ``torch.compile``.
        log_every: updates between log steps.
        checkpoint_every: updates between checkpoints, each with a validation before it.
        keep_checkpoints: newest checkpoints kept.
        validation_windows: held-out windows to validate on, at most.
    """

    updates: int
    schedule: Schedule
    seed: int
    batch_size: int = 64
    learning_rate: float = 6e-4
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    action_weight: float = 5.0
    reward_weight: float = 1.0
    value_weight: float = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compile: bool = False
    log_every: int = 100
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    validation_windows: int = 512

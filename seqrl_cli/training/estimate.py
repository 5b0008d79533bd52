"""What a run will take, before it starts: its time, measured, and the size of its checkpoints."""

from __future__ import annotations

import copy
import time
from collections.abc import Sized

from torch import nn

from seqrl_cli.models.build import device_of
from seqrl_cli.training.loop import MakeTraining, Pace
from seqrl_cli.training.rng import own_generators
from seqrl_cli.training.trainer import Trainer

OPTIMIZER_STATE_BYTES = 2 * 4
"""Bytes per trainable weight in a checkpoint beside the weight: AdamW's two moments, float32."""


def seconds_per_update(
    model: nn.Module, train: Sized, settings: Pace, updates: int = 3, trainer: MakeTraining = Trainer
) -> float:
    """Train a copy of ``model`` for a few updates, after one that is not counted, and take the mean time.

    Args:
        model: left as it is.
        train: windows to train on, at least one.
        settings: of the run to come.
        updates: how many to time.
        trainer: see ``fit``.
    """
    with own_generators(device_of(model)):
        training = trainer(copy.deepcopy(model), train, train, settings)
        training.update()
        training.read_losses()
        start = time.perf_counter()
        for _ in range(updates):
            training.update()
        training.read_losses()
        return (time.perf_counter() - start) / updates

"""How long a run will take, measured before it starts."""

from __future__ import annotations

import copy
import time

from seqrl_cli.data.windows import Windows
from seqrl_cli.models.build import TokenModel, device_of
from seqrl_cli.training.generators import own_generators
from seqrl_cli.training.settings import TrainSettings
from seqrl_cli.training.trainer import Trainer


def seconds_per_update(model: TokenModel, train: Windows, settings: TrainSettings, updates: int = 3) -> float:
    """Train a copy of ``model`` for a few updates, after one that is not counted, and take the mean time.

    Args:
        model: left as it is.
        train: windows to train on, at least one.
        settings: of the run to come.
        updates: how many to time.
    """
    with own_generators(device_of(model)):
        trainer = Trainer(copy.deepcopy(model), train, train, settings)
        trainer.update()
        trainer.read_losses()
        start = time.perf_counter()
        for _ in range(updates):
            trainer.update()
        trainer.read_losses()
        return (time.perf_counter() - start) / updates

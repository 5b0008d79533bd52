"""What the updates measured, kept on the device until it is read, and how long they took."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seqrl_cli.errors import SeqrlError


@dataclass(frozen=True)
class Interval:
    """The updates since the previous log step.

    Attributes:
        means: of each measure.
        targets_per_second: targets trained on per second, validation and checkpoints included.
        elapsed: seconds of training in all, interruptions not counted.
    """

    means: dict[str, float]
    targets_per_second: float
    elapsed: float


class MetricAccumulator:
    """Measures of updates, one of them called ``loss``, and the clock.

    Args:
        learning_rate: named in the error about a loss that is not finite.
        key: what sets it.
    """

    def __init__(self, learning_rate: float, key: str = "train.learning_rate") -> None:
        self.measures: dict[str, list[float]] = {}
        self._learning_rate, self._key = learning_rate, key
        self._unread: list[Mapping[str, Tensor]] = []  # reading one waits for the GPU, so it happens only when needed
        self._earlier = 0.0
        self._started = self._logged_at = time.perf_counter()
        self._targets = 0

    @property
    def elapsed(self) -> float:
        """Seconds of training in all, interruptions not counted."""
        return self._earlier + time.perf_counter() - self._started

    def count(self, targets: int) -> None:
        """Count targets that are about to be trained on."""
        self._targets += targets

    def note(self, measures: Mapping[str, Tensor]) -> None:
        """Keep what an update measured, scalars on the device."""
        self._unread.append(measures)

    def read(self, step: int) -> None:
        """Take the measures of the latest updates from the device.

        Args:
            step: updates made.

        Raises:
            SeqrlError: a loss is not finite.
        """
        if not self._unread:
            return
        columns = {name: torch.stack([one[name] for one in self._unread]).tolist() for name in self._unread[0]}
        for index, loss in enumerate(columns["loss"], step - len(self._unread) + 1):
            if not math.isfinite(loss):
                hint = f"lower the learning rate, which is {self._learning_rate:g}, with {self._key}=..."
                raise SeqrlError(f"the training loss is {loss} at step {index}", hint)
        for name, values in columns.items():
            self.measures.setdefault(name, []).extend(values)
        self._unread.clear()

    def close(self) -> Interval:
        """End the interval of a log step, all of whose measures have been read, and begin the next."""
        now = time.perf_counter()
        means = {name: sum(values) / len(values) for name, values in self.measures.items()}
        interval = Interval(means, self._targets / (now - self._logged_at), self._earlier + now - self._started)
        self.measures.clear()
        self._targets, self._logged_at = 0, now
        return interval

    def restore(self, measures: Mapping[str, list[float]], elapsed: float) -> None:
        """Go on from the measures since the last log step, and the seconds, that a checkpoint holds."""
        self.measures = {name: list(values) for name, values in measures.items()}
        self._earlier = elapsed

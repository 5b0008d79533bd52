"""Accumulates the metrics of updates, which stay on the device until they are read, and measures time."""

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
        means: mean of each metric.
        targets_per_second: targets per second, including the time of validation and checkpoints.
        elapsed: seconds of training in all, without interruptions.
    """

    means: dict[str, float]
    targets_per_second: float
    elapsed: float


class MetricAccumulator:
    """Metrics of updates, one of them called ``loss``, and a clock.

    Args:
        learning_rate: learning rate to name in the error about a loss that is not finite.
        key: the configuration key of the learning rate.
    """

    def __init__(self, learning_rate: float, key: str = "train.learning_rate") -> None:
        self.measures: dict[str, list[float]] = {}
        self._learning_rate = learning_rate
        self._key = key
        self._unread: list[Mapping[str, Tensor]] = []  # reading waits for the GPU
        self._earlier = 0.0
        self._started = self._logged_at = time.perf_counter()
        self._targets = 0

    @property
    def elapsed(self) -> float:
        """Seconds of training in all, without interruptions."""
        return self._earlier + time.perf_counter() - self._started

    def count(self, targets: int) -> None:
        """Count the targets of an update."""
        self._targets += targets

    def note(self, measures: Mapping[str, Tensor]) -> None:
        """Record the metrics of an update, scalars on the device."""
        self._unread.append(measures)

    def read(self, step: int) -> None:
        """Read the recorded metrics from the device.

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
        """End the interval of a log step and start the next; its metrics must have been read."""
        now = time.perf_counter()
        means = {name: sum(values) / len(values) for name, values in self.measures.items()}
        interval = Interval(means, self._targets / (now - self._logged_at), self._earlier + now - self._started)
        self.measures.clear()
        self._targets = 0
        self._logged_at = now
        return interval

    def restore(self, measures: Mapping[str, list[float]], elapsed: float) -> None:
        """Restore the metrics since the last log step, and the seconds, from a checkpoint.

        Raises:
            TypeError: they are something else.
            ValueError: they are no numbers, or there are none of a metric.
        """
        self.measures = {name: [float(value) for value in values] for name, values in measures.items()}
        if not all(self.measures.values()):
            raise ValueError("a metric has no values")
        self._earlier = float(elapsed)

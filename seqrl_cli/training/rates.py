"""Learning rates by update: a warm-up, then one of several curves, or drops when learning stalls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from seqrl_cli.files.json_fields import count_field, number_field

Curve: TypeAlias = Literal["constant", "linear", "cosine", "restarts", "step", "exponential", "plateau"]
"""After the warm-up: constant; a line; half a cosine; several; tenfold drops; exponential decay; :class:`Plateau`."""

_STEPS = (0.5, 0.75)  # fractions of a run at which the rate drops tenfold
_RESTARTS = 4
_DROP = 0.1
_MIN_IMPROVEMENT = 1e-4  # relative; this and the drop are those of PyTorch's ReduceLROnPlateau


@dataclass(frozen=True)
class RateSchedule:
    """A linear warm-up, then a curve; ``plateau`` is constant here.

    Attributes:
        curve: form of the curve.
        warmup: updates until the full rate.
        updates: updates of the whole run.
        floor: the last rate as a fraction of the full one; ``constant`` and ``step`` ignore it, and ``exponential``
            ends at a thousandth at least.
    """

    curve: Curve
    warmup: int
    updates: int
    floor: float = 0.0

    def factor(self, step: int) -> float:
        """The factor of the full rate in the update after ``step`` updates."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.updates - self.warmup))
        return self._after_warmup(progress)

    def _after_warmup(self, progress: float) -> float:
        if self.curve == "linear":
            return self.floor + (1 - self.floor) * (1 - progress)
        if self.curve == "cosine":
            return self._cosine(progress)
        if self.curve == "restarts":
            return self._cosine(progress * _RESTARTS % 1.0)
        if self.curve == "step":
            return float(0.1 ** sum(progress >= step for step in _STEPS))
        if self.curve == "exponential":
            return float(max(self.floor, 1e-3) ** progress)
        return 1.0

    def _cosine(self, progress: float) -> float:
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))


class Plateau:
    """A factor of the learning rate that drops tenfold when a loss has not improved for some measurements.

    Args:
        patience: measurements in a row without improvement that are tolerated.
        floor: the smallest factor.
    """

    def __init__(self, patience: int, floor: float = 0.0) -> None:
        self.factor = 1.0
        self._patience = patience
        self._floor = floor
        self._best: float | None = None
        self._worse = 0

    def observe(self, loss: float) -> None:
        """Take the next measurement of the loss."""
        if math.isfinite(loss) and (self._best is None or loss < self._best - abs(self._best) * _MIN_IMPROVEMENT):
            self._best, self._worse = loss, 0
            return
        self._worse += 1
        if self._worse > self._patience:
            self.factor, self._worse = max(self._floor, self.factor * _DROP), 0

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, as plain JSON values."""
        return {"factor": self.factor, "worse": self._worse, "best": self._best}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Raises:
            JsonFieldError: a value is not a number.
        """
        self.factor, self._worse = number_field(state, "factor"), count_field(state, "worse")
        self._best = None if state.get("best") is None else number_field(state, "best")

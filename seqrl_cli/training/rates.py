"""Learning rates by update: a warm-up, then one of several curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Curve: TypeAlias = Literal["constant", "cosine", "restarts", "step", "exponential"]
"""After the warm-up: constant; half a cosine; several of them; tenfold drops; exponential decay."""

_STEPS = (0.5, 0.75)  # fractions of a run at which the rate drops tenfold
_RESTARTS = 4


@dataclass(frozen=True)
class RateSchedule:
    """A linear warm-up, then a curve that ends at ``floor`` times the full rate.

    Attributes:
        curve: its form.
        warmup: updates until the full rate.
        updates: of the whole run.
        floor: the last rate as a fraction of the full one; ``constant`` and ``step`` ignore it.
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

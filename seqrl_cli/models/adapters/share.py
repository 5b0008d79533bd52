"""How much of a model is trained."""

from __future__ import annotations

from dataclasses import dataclass

from seqrl_cli.console import percent


@dataclass(frozen=True)
class Share:
    """Trainable numbers among all.

    Attributes:
        trainable: numbers that are trained.
        total: all numbers, adapters included.
    """

    trainable: int
    total: int

    @property
    def fraction(self) -> float:
        """Trainable numbers per number."""
        return self.trainable / self.total

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} parameters ({percent(self.fraction, 2)})"

"""What an adapter is: its kind, size and place in a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.checks import require_fractions


@dataclass(frozen=True)
class LoRASpec:
    """Low-rank adaptation: ``W x + alpha / rank * B A x`` (Hu et al. 2021, arXiv 2106.09685, section 4.1).

    Attributes:
        rank: of the added matrix.
        alpha: scale of what is added, before the division by ``rank``.
        dropout: fraction of the inputs of ``A`` dropped in training.
        targets: parts of a block (``query``, ``key``, ``value``, ``projection``, ``feed-forward``), or names of linear
            layers. ``feed-forward`` is the first layer of the feed-forward half; ``feed-forward-output`` puts
            ``B A`` on that layer's outputs instead of its inputs, as L2M does.
    """

    kind: ClassVar[str] = "lora"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("query", "value", "feed-forward")

    def __post_init__(self) -> None:
        """Check the numbers; raises SeqrlError."""
        if self.rank < 1:
            raise SeqrlError(f"an adapter of rank {self.rank} has no weights", "choose a rank of 1 or more, say 8")
        require_fractions(dropout=self.dropout)


Spec = LoRASpec

"""The head that predicts returns-to-go, as in the Multi-Game Decision Transformer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

RETURN_BINS = 64


class ReturnHead(nn.Module):
    """Predicts the return-to-go at a state, as a distribution over bins of equal width.

    So does the Multi-Game Decision Transformer (Lee et al. 2022, arXiv 2205.15241, section 3.3), which samples its
    target returns from the distribution. Each input has its own bins, between the lowest and the highest return of its
    tasks; returns outside go to the outermost bins.

    Args:
        ranges: lowest and highest scaled return-to-go of each input.
        width: length of the hidden vectors.
    """

    def __init__(self, ranges: Mapping[str, tuple[float, float]], width: int) -> None:
        super().__init__()
        self.ranges = dict(ranges)
        self.logits = nn.Linear(width, RETURN_BINS)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> logits (..., RETURN_BINS)."""
        logits: Tensor = self.logits(hidden)
        return logits

    def encode(self, name: str, returns_to_go: Tensor) -> Tensor:
        """The bins (...) int64 of scaled returns-to-go (...) of an input."""
        low, high = self.ranges[name]
        bins = ((returns_to_go - low) * (RETURN_BINS / (high - low))).floor()
        return bins.clamp(0, RETURN_BINS - 1).long()

    def centres(self, name: str) -> Tensor:
        """The scaled return-to-go in the middle of each bin of an input, (RETURN_BINS,)."""
        low, high = self.ranges[name]
        places = torch.arange(RETURN_BINS, device=self.logits.weight.device)
        return low + (places + 0.5) * ((high - low) / RETURN_BINS)

"""Dropout that costs little on a CPU, where Bernoulli draws take longer than the matrix products around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 1 << 16


class Dropout(nn.Module):
    """Drop each number with probability ``p`` in training and scale the others up; do nothing in evaluation.

    Args:
        p: the dropout probability, in [0, 1); on a CPU rounded to a multiple of 2**-16 that is less than 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop from ``x`` (any shape)."""
        if not self.training or self.p == 0:
            return x
        if not x.is_cpu:
            return functional.dropout(x, self.p)
        return x * keep_mask(x, self.p).mul_(keep_scale(self.p))


def keep_mask(like: Tensor, p: float) -> Tensor:
    """Ones where a number is kept, zeros where it is dropped; each takes 16 bits from the global CPU generator.

    Args:
        like: a tensor of the mask's shape and type; a float mask multiplies several times faster than a bool one.
        p: expected fraction of zeros.
    """
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
    draws = words.view(torch.int16)[: like.numel()].view(like.shape)
    mask = torch.empty(like.shape, dtype=like.dtype)
    return torch.ge(draws, _dropped_levels(p) - LEVELS // 2, out=mask)


def keep_scale(p: float) -> float:
    """The factor of the kept numbers that preserves the expectation."""
    return LEVELS / (LEVELS - _dropped_levels(p))


def _dropped_levels(p: float) -> int:
    return min(round(p * LEVELS), LEVELS - 1)

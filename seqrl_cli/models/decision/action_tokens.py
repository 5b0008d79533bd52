"""Actions as tokens: bins of continuous numbers, and discrete choices, with one vocabulary for both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Scale: TypeAlias = Literal["linear", "mu-law"]
Decode: TypeAlias = Literal["mean", "argmax", "sample"]
"""How a continuous number is chosen: the mean over bins, the likeliest bin, or a sampled bin."""


@dataclass(frozen=True)
class ActionTokens:
    """A vocabulary whose first ids are discrete choices and whose others are bins of [-1, 1].

    Bins of equal width are as in RT-1. Those of ``mu-law`` are finer near 0, as in Gato (Reed et al. 2022, arXiv
    2205.06175, appendix B, with mu = 100); here mu is the number of bins less one. An id is decoded to the centre of
    its bin, so the error is at most half a bin on the scale on which all bins are equally wide.

    Attributes:
        choices: ids of discrete choices, from 0.
        bins: ids of continuous numbers, after those.
        scale: spacing of the bins.
    """

    choices: int
    bins: int
    scale: Scale = "linear"

    @property
    def size(self) -> int:
        """Ids in all."""
        return self.choices + self.bins

    def encode(self, actions: Tensor) -> Tensor:
        """Numbers (...) in [-1, 1] as ids (...) int64; numbers outside go to the outermost bins."""
        spread = self._compress(actions) if self.scale == "mu-law" else actions
        bins = ((spread + 1) * (self.bins / 2)).floor().clamp(0, self.bins - 1)
        return bins.long() + self.choices

    def centres(self, device: torch.device | None = None) -> Tensor:
        """The number that each bin is decoded to, (bins,)."""
        spread = (torch.arange(self.bins, device=device) + 0.5) * (2 / self.bins) - 1
        return self._expand(spread) if self.scale == "mu-law" else spread

    def allowed(self, choices: int | None) -> slice:
        """The ids that a task may use, given its number of discrete choices, or None for continuous actions."""
        return slice(self.choices, self.size) if choices is None else slice(0, choices)

    @property
    def _mu(self) -> int:
        return self.bins - 1

    def _compress(self, actions: Tensor) -> Tensor:
        return actions.sign() * (actions.abs() * self._mu).log1p() / math.log1p(self._mu)

    def _expand(self, spread: Tensor) -> Tensor:
        return spread.sign() * (spread.abs() * math.log1p(self._mu)).expm1() / self._mu

"""What a predicted distribution over reward or value bins is worth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class BinValues:
    """Turn logits over a dimension's bins into a number.

    Args:
        midpoints: (bins, transition_dim), what each token decodes to.
        percentile: ``"mean"``, or the share of the mass, in (0, 1), at which to read the distribution.
        device: where logits will be.
    """

    def __init__(self, midpoints: NDArray[np.float64], percentile: str | float, device: torch.device) -> None:
        self.midpoints = torch.as_tensor(midpoints, dtype=torch.float64, device=device)
        self.percentile = percentile

    def __call__(self, logits: Tensor, dim: int) -> Tensor:
        """Value of each row; mass on the stop token is dropped and the rest not renormalised, as in the original.

        Args:
            logits: (rows, bins + 1), unfiltered.
            dim: the dimension they predict; -2 is the reward, -1 the value.

        Returns:
            (rows,) float64.
        """
        values = self.midpoints[:, dim]
        masses = torch.softmax(logits, dim=-1)[:, :-1].double()
        if self.percentile == "mean":
            return (masses * values).sum(dim=-1)
        reached = torch.cumsum(masses, dim=-1) < float(self.percentile)
        return values[reached.sum(dim=-1).clamp(max=len(values) - 1)]

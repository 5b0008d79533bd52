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
        percentile: ``"mean"``, or the share of the mass, in (0, 1), at which to read the distribution, the values in
            ascending order.
        device: where logits will be.
    """

    def __init__(self, midpoints: NDArray[np.float64], percentile: str | float, device: torch.device) -> None:
        self.midpoints = torch.as_tensor(midpoints, dtype=torch.float64, device=device)
        self.percentile = percentile
        # What follows the stop token is worth nothing: as in the mean, it stands among the values as a 0.
        self._outcomes, self._ascending = torch.nn.functional.pad(self.midpoints, (0, 0, 0, 1)).sort(dim=0, stable=True)

    def __call__(self, logits: Tensor, dim: int) -> Tensor:
        """Value of each row; mass on the stop token counts as a value of 0.

        In the mean that is the original's rule, which drops this mass and does not renormalise the rest. The original's
        percentile drops it too, and then reads the highest bin wherever the rest never adds up to the percentile; here
        the percentile is that of the same distribution as the mean.

        Args:
            logits: (rows, bins + 1), unfiltered.
            dim: the dimension they predict; -2 is the reward, -1 the value.

        Returns:
            (rows,) float64.
        """
        masses = torch.softmax(logits, dim=-1).double()
        if self.percentile == "mean":
            return (masses[:, :-1] * self.midpoints[:, dim]).sum(dim=-1)
        outcomes = self._outcomes[:, dim]
        reached = torch.cumsum(masses[:, self._ascending[:, dim]], dim=-1) < float(self.percentile)
        return outcomes[reached.sum(dim=-1).clamp(max=len(outcomes) - 1)]

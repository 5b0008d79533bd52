"""From a predicted distribution over reward or value bins to one number."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ValueReadout:
    """Turn logits over a dimension's bins into a number.

    Args:
        midpoints: (bins, transition_dim), the value that each token decodes to.
        percentile: ``"mean"``, or the fraction of the probability, in (0, 1), at which to read the distribution in
            ascending order of its values.
        device: the device of the logits.
    """

    def __init__(self, midpoints: NDArray[np.float64], percentile: str | float, device: torch.device) -> None:
        self.midpoints = torch.as_tensor(midpoints, dtype=torch.float64, device=device)
        self.percentile = percentile
        # The stop token counts as an outcome of 0, as in the mean: no reward follows it.
        self._outcomes, self._ascending = torch.nn.functional.pad(self.midpoints, (0, 0, 0, 1)).sort(dim=0, stable=True)

    def __call__(self, logits: Tensor, dim: int) -> Tensor:
        """Read each row's value; probability on the stop token counts as a value of 0.

        For the mean this is the original's rule, which drops this probability without renormalizing the rest. The
        original's percentile drops it too, and then reads the highest bin whenever the rest does not reach the
        percentile. Here the percentile is that of the same distribution as the mean.

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
        below = torch.cumsum(masses[:, self._ascending[:, dim]], dim=-1) < float(self.percentile)
        return outcomes[below.sum(dim=-1).clamp(max=len(outcomes) - 1)]

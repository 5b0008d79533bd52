"""Target returns that a model infers while it plays, as the Multi-Game Decision Transformer does."""

from __future__ import annotations

import numpy as np

OPTIMISM = 10.0
"""How strongly high returns are preferred; kappa in Lee et al. 2022 (arXiv 2205.15241, section 4.3)."""


def expert_return(probabilities: np.ndarray, returns: np.ndarray, draw: float, optimism: float = OPTIMISM) -> float:
    """Draw a return-to-go that is likely for the model and high.

    A return ``R`` has the probability ``P(R) exp(optimism * (R - lowest) / (highest - lowest))``, up to a factor.

    Args:
        probabilities: probabilities of the returns, as the model predicts them, (bins,).
        returns: returns-to-go, (bins,).
        draw: a uniform random number in [0, 1).
        optimism: 0 draws from the model's own distribution.
    """
    span = float(returns.max() - returns.min()) or 1.0
    exponents = optimism * (returns.astype(np.float64) - returns.min()) / span
    weights = probabilities.astype(np.float64) * np.exp(exponents - exponents.max())
    sums = np.cumsum(weights)
    if not sums[-1] > 0:  # all likely returns underflowed
        return float(returns[int(probabilities.argmax())])
    return float(returns[min(int(np.searchsorted(sums, draw * sums[-1], side="right")), len(returns) - 1)])

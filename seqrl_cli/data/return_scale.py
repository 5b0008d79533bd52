"""The factor of returns-to-go in what a Decision Transformer sees, and the returns that it is asked for.

The Decision Transformer (Chen et al., arXiv 2106.01345) divides returns by 1,000 in locomotion and by 50 in Reacher, so
that they are about one. A network does not tell apart returns that are all near zero after scaling.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.policy_windows import Trajectory

AUDIBLE = (0.03, 30.0)
"""Between these, a largest scaled return is one that a network can tell from zero."""


_TINIEST = 1e-30  # a factor for smaller returns would not fit into float32


def times(best: float, factor: float) -> float:
    """A return to ask for. A factor of 1.5 adds half of the best return's magnitude: it asks for more than -80, too."""
    return best + (factor - 1) * abs(best)


def return_scale(trajectories: list[Trajectory], usual: float | None = None) -> float:
    """A factor of returns-to-go that fits their size in the data.

    Args:
        trajectories: the data.
        usual: the factor that the literature uses in their environment; kept if it brings the largest return-to-go into
            ``AUDIBLE``. None = there is none.

    Returns:
        ``usual``, or one over the largest magnitude of a return-to-go, with two significant digits; 1 if all returns
        are zero, or nearly.
    """
    largest = max(_largest(one.returns_to_go) for one in trajectories)
    if largest < _TINIEST:
        return 1.0
    if usual is not None and AUDIBLE[0] <= usual * largest <= AUDIBLE[1]:
        return usual
    return float(f"{1 / largest:.1e}")


def _largest(returns_to_go: NDArray[np.float32]) -> float:
    return float(np.abs(returns_to_go).max())

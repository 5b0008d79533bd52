"""D4RL's normalised score."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

Returns = TypeVar("Returns", float, np.ndarray)


def normalized_score(return_: Returns, minimum: float, maximum: float) -> Returns:
    """A return scaled so that a random policy scores 0 and an expert 1; tables show it times 100.

    Fu et al., "D4RL: Datasets for Deep Data-Driven Reinforcement Learning" (arXiv 2004.07219), section 5.

    Args:
        return_: undiscounted return of an episode, or an array of them.
        minimum: the random policy's mean return.
        maximum: the expert's mean return.
    """
    return (return_ - minimum) / (maximum - minimum)


def percent_score(return_: float, references: tuple[float, float] | None) -> float | None:
    """A normalised score in percent, or None without reference scores."""
    return None if references is None else 100 * normalized_score(return_, *references)

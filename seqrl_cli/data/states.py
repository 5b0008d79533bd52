"""Observations that are one of a number of states, as in Taxi: vectors that are 1 at the state and 0 elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.errors import SeqrlError

MAX_STATES = 4096
"""More states would make vectors of more numbers than a model can use."""


def state_vectors(states: NDArray[np.integer], count: int, source: str) -> NDArray[np.float32]:
    """States ``(n,)`` as vectors ``(n, count)``.

    Args:
        states: whole numbers from 0.
        count: number of states.
        source: name of where the states come from, for errors.

    Raises:
        SeqrlError: a state is not among them, or they are too many.
    """
    if not 1 <= count <= MAX_STATES or (len(states) and not 0 <= states.min() <= states.max() < count):
        message = f"{source} has observations that are whole numbers from {states.min()} to {states.max()}"
        hint = f"states are numbered from 0 and at most {MAX_STATES:,}; store other numbers as vectors"
        raise SeqrlError(message, hint)
    vectors = np.zeros((len(states), count), np.float32)
    vectors[np.arange(len(states)), states] = 1
    return vectors


def with_state_vectors(episodes: Episodes, source: str) -> Episodes:
    """Episodes whose observations are states, with vectors as long as the data show; others as they are.

    Raises:
        SeqrlError: they are not numbered from 0, or too many.
    """
    if episodes.observations.ndim != 1:
        return episodes
    states = episodes.observations
    return replace(episodes, observations=state_vectors(states, int(states.max()) + 1, source))


def with_all_states(episodes: Episodes, count: int) -> Episodes:
    """Episodes of vectors of fewer states than an environment has, with vectors of ``count``; others as they are."""
    seen = episodes.observations
    if seen.ndim != 2 or seen.shape[1] >= count or not _are_states(seen):
        return episodes
    missing = np.zeros((len(seen), count - seen.shape[1]), np.float32)
    return replace(episodes, observations=np.concatenate([seen, missing], axis=1))


def _are_states(vectors: NDArray[np.float32]) -> bool:
    """Whether each row is 1 at one place and 0 elsewhere."""
    return bool((np.count_nonzero(vectors, axis=1) == 1).all() and (vectors.max(axis=1) == 1).all())

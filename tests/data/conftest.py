"""Ragged random episodes, the raw material of this room's tests."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.episodes import Episodes


def ragged(seed: int, transitions: int = 200, observation_dim: int = 3, action_dim: int = 2) -> Episodes:
    """Random transitions with terminals and timeouts at random places; one-step episodes occur."""
    rng = np.random.default_rng(seed)
    return Episodes.from_flags(
        rng.standard_normal((transitions, observation_dim)),
        rng.uniform(-1, 1, (transitions, action_dim)),
        rng.standard_normal(transitions),
        rng.random(transitions) < 0.1,
        rng.random(transitions) < 0.05,
    )


@pytest.fixture(params=range(5))
def episodes(request) -> Episodes:
    return ragged(request.param)

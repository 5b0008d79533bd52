"""Returns that a model infers while it plays."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.planning.inferred_return import expert_return

RETURNS = np.array([0.0, 1.0, 2.0])
LIKELY = np.array([0.7, 0.2, 0.1])


@pytest.mark.parametrize("optimism", [0.0, 1.0, 10.0])
def test_draws_follow_the_weighted_probabilities(optimism):
    draws = (np.arange(4000) + 0.5) / 4000
    drawn = np.array([expert_return(LIKELY, RETURNS, draw, optimism) for draw in draws])
    weights = LIKELY * np.exp(optimism * RETURNS / 2)
    shares = [(drawn == value).mean() for value in RETURNS]
    assert shares == pytest.approx(weights / weights.sum(), abs=1e-3)


def test_impossible_returns_are_not_drawn():
    assert expert_return(np.array([1.0, 0.0, 0.0]), RETURNS, 0.999) == 0.0
    assert expert_return(np.array([1.0]), np.array([5.0]), 0.0) == 5.0

"""Numbers read from predicted distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqrl_cli.planning.values import BinValues

MIDPOINTS = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
LOGITS = torch.tensor([[0.2, 0.3, 0.4, 0.1]]).log()


def read(percentile: str | float, dim: int = -1, logits: torch.Tensor = LOGITS) -> float:
    return BinValues(MIDPOINTS, percentile, torch.device("cpu"))(logits, dim).item()


def test_mean_counts_the_stop_token_as_zero():
    assert read("mean") == pytest.approx(2 + 6 + 16)
    assert read("mean", dim=-2) == pytest.approx(0.2 + 0.6 + 1.6)


@pytest.mark.parametrize(
    ("percentile", "value"), [(0.1, 10.0), (0.45, 20.0), (0.55, 40.0), (0.99, 40.0), ("0.45", 20.0)]
)
def test_percentile_is_the_bin_in_which_the_mass_is_reached(percentile, value):
    assert read(percentile) == value


def test_percentile_of_the_lowest_bin():
    assert read(0.5, logits=torch.tensor([[0.0, -math.inf, -math.inf, -math.inf]])) == 10.0

"""Numbers read from predicted distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqrl_cli.planning.value_readout import ValueReadout
from tests.planning.naive import expected as expected_value

MIDPOINTS = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
LOGITS = torch.tensor([[0.2, 0.3, 0.4, 0.1]]).log()


def read(percentile: str | float, dim: int = -1, logits: torch.Tensor = LOGITS) -> float:
    return ValueReadout(MIDPOINTS, percentile, torch.device("cpu"))(logits, dim).item()


def test_mean_counts_the_stop_token_as_zero():
    assert read("mean") == pytest.approx(2 + 6 + 16)
    assert read("mean", dim=-2) == pytest.approx(0.2 + 0.6 + 1.6)


@pytest.mark.parametrize(
    ("percentile", "value"), [(0.05, 0.0), (0.25, 10.0), (0.55, 20.0), (0.65, 40.0), (0.99, 40.0), ("0.55", 20.0)]
)
def test_percentile_is_the_bin_in_which_the_mass_is_reached(percentile, value):
    assert read(percentile) == value


def test_percentile_of_the_lowest_bin():
    assert read(0.5, logits=torch.tensor([[0.0, -math.inf, -math.inf, -math.inf]])) == 10.0


def test_a_percentile_below_the_chance_of_stopping_is_zero():
    assert read(0.5, logits=torch.tensor([[0.07, 0.1, 0.1, 0.73]]).log()) == 0.0


@pytest.mark.parametrize("percentile", [0.03, 0.3, 0.5, 0.9, "mean"])
@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0], ids=["all below 0", "on both sides", "all above 0"])
def test_equals_the_naive_reading(percentile, shift):
    rng = np.random.default_rng(0)
    midpoints = np.sort(rng.uniform(-4, 4, size=(12, 3)), axis=0) + shift
    midpoints[5:8, 1] = midpoints[5, 1]
    logits = torch.from_numpy(rng.normal(scale=2.0, size=(50, 13)))
    logits[::5, -1] += 4.0
    masses = torch.softmax(logits, dim=-1).numpy()
    for dim in (-2, -1):
        expected = [expected_value(row, midpoints[:, dim], percentile) for row in masses]
        got = ValueReadout(midpoints, percentile, torch.device("cpu"))(logits, dim)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)

"""The factor of returns-to-go follows their size in the data."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.data.return_scale import return_scale


def earning(*rewards: float) -> Trajectory:
    blank = np.zeros((len(rewards), 1), np.float32)
    return Trajectory(blank, blank, np.array(rewards, np.float32))


@pytest.mark.parametrize(
    ("rewards", "scale"),
    [
        ((0, 0, 1), 1.0),
        ((0, 0, 1000), 1e-3),
        ((-8, -8), 1 / 16),
        ((3e-9, 1e-9), 2.5e8),
        ((1e6, 1e6), 5e-7),
        ((0, 0), 1.0),
        ((1e-40, 0), 1.0),
        ((100, -100), 1e-2),  # the return is 0, but returns-to-go reach -100
    ],
)
def test_the_largest_return_to_go_becomes_about_one(rewards, scale):
    assert return_scale([earning(0), earning(*rewards)]) == pytest.approx(scale, rel=0.05)


def test_the_literatures_factor_is_kept_where_returns_are_of_its_size():
    assert return_scale([earning(3000)], usual=1e-3) == 1e-3
    assert return_scale([earning(64)], usual=1e-3) == 1e-3
    assert return_scale([earning(1)], usual=1e-3) == 1.0
    assert return_scale([earning(1e6)], usual=1e-3) == pytest.approx(1e-6)

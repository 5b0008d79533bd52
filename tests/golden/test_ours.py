"""The program computes what it computed when the numbers were recorded.

On the machine that recorded them, by ``machine()``, every number must be the same bit for bit. Elsewhere sums are
rounded otherwise. Losses then agree to 1e-4. A plan is made of tokens, and a draw or a comparison that is nearly even
may fall the other way, after which the episode is another one; so the first half of an episode's steps must have the
same tokens (values of bins, which differ by far more than 1e-3), and the rest is not compared. What a policy does is
continuous: its first half agrees to 1e-3.

Without a compiler the plans of the compiled engine are left out.

``python -m tests.golden.record_ours`` records them anew.
"""

from __future__ import annotations

import pytest

from tests.golden.ours import CASES, assert_as_recorded, compute, load_recorded

FAST = ("gpt", "dt")


@pytest.mark.parametrize("case", [pytest.param(case, marks=[] if case in FAST else pytest.mark.slow) for case in CASES])
def test_the_same_numbers(case, tmp_path):
    assert_as_recorded(compute(CASES[case], tmp_path), load_recorded(case))

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

import json

import numpy as np
import pytest

from tests.golden.ours import CASES, COMPILER, FOLDER, MACHINE, compute, machine


def assert_close(name: str, now: np.ndarray, recorded: np.ndarray) -> None:
    """As on another machine."""
    assert now.shape == recorded.shape, name
    if name.startswith("train/"):
        np.testing.assert_allclose(now, recorded, rtol=1e-4, err_msg=name)
    elif not name.endswith("/return"):
        half = len(recorded) // 2
        np.testing.assert_allclose(now[:half], recorded[:half], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_the_same_numbers(case, tmp_path):
    with np.load(FOLDER / f"{case}.npz") as file:
        recorded = {name: file[name] for name in file if COMPILER or not name.startswith("plan/native/")}
    now = compute(CASES[case], tmp_path)
    assert now.keys() == recorded.keys()
    same_machine = machine() == json.loads(MACHINE.read_text(encoding="utf-8"))
    for name, array in recorded.items():
        if same_machine:
            np.testing.assert_array_equal(now[name], array, err_msg=name, strict=True)
        else:
            assert_close(name, now[name], array)

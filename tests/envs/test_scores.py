import numpy as np
import pytest

from seqrl_cli.envs.scores import normalized_score


def test_random_is_zero_and_expert_is_one():
    assert normalized_score(-20.272305, -20.272305, 3234.3) == 0
    assert normalized_score(3234.3, -20.272305, 3234.3) == 1
    assert normalized_score(np.array([1607.01385]), -20.272305, 3234.3)[0] == pytest.approx(0.5, abs=1e-4)

"""Target returns that are far from the data are warned of."""

from __future__ import annotations

import pytest

from seqrl_cli.planning.target_return import warn_of_return
from seqrl_cli.runs.record import read_record
from tests.runs.records import make_run


@pytest.mark.parametrize(
    ("in_data", "target", "warns"),
    [
        ((3000.0, 3500.0), 2500.0, False),
        ((3000.0, 3500.0), 350.0, True),  # a zero was forgotten
        ((3000.0, 3500.0), 7000.1, False),  # twice the best, rounded
        ((3000.0, 3500.0), 7100.0, True),
        ((-1000.0, -100.0), 0.0, False),
        ((-1000.0, -100.0), 1000.0, True),
        ((0.0, 0.0), 1.0, False),
    ],
)
def test_a_target_far_from_the_data_is_warned_of(tmp_path, in_data, target, warns):
    record = read_record(make_run(tmp_path, "sim/hopper-medium", "dt-s42"))
    heard: list[str] = []
    warn_of_return("the target return", target, record.model_copy(update={"return_range": in_data}), heard.append)
    assert bool(heard) == warns

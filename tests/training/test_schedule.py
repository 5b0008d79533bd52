from __future__ import annotations

import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.training.schedule import Schedule, paper_epochs, paper_schedule, paper_updates, scaled_schedule

WINDOWS, BLOCK_SIZE = 1000, 159
EPOCH = WINDOWS * BLOCK_SIZE


@pytest.mark.parametrize(
    ("epoch", "multiplier"),
    [(0.5, 0.5), (1, 1.0), (10, 0.541), (20, 0.1), (25, 0.161), (39, 1.0), (50, 0.377)],
)
def test_tt_exact_rises_again(epoch, multiplier):
    schedule = paper_schedule("tt-exact", WINDOWS, BLOCK_SIZE)
    assert schedule.multiplier(int(epoch * EPOCH)) == pytest.approx(multiplier, abs=6e-4)


@pytest.mark.parametrize(("epoch", "multiplier"), [(1, 1.0), (10, 0.541), (20, 0.1), (39, 0.1), (50, 0.1), (900, 0.1)])
def test_clamped_stays_down(epoch, multiplier):
    schedule = paper_schedule("clamped", WINDOWS, BLOCK_SIZE)
    assert schedule.multiplier(epoch * EPOCH) == pytest.approx(multiplier, abs=6e-4)


def test_a_short_run_uses_the_whole_curve():
    updates, batch_size = 200, 64
    schedule = scaled_schedule("clamped", updates, batch_size, BLOCK_SIZE, warmup_fraction=0.05)
    rates = [schedule.multiplier(step * batch_size * BLOCK_SIZE) for step in range(updates + 1)]
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates[100] > 0.5


def test_a_schedule_without_warm_up():
    assert Schedule("clamped", 0, 0).multiplier(0) == 1.0
    assert Schedule("clamped", 0, 0).multiplier(1) == 0.1


def test_an_unknown_kind():
    with pytest.raises(SeqrlError, match="clampd"):
        Schedule("clampd", 1, 2)  # type: ignore[arg-type]


def test_update_count_of_the_paper():
    assert paper_epochs(998_999, 50) == 50
    assert paper_epochs(1_997_000, 50) == 25
    assert paper_updates(998_999, 256, 50) == 50 * 3903
    assert paper_updates(60_000_000, 256, 50) == 234_375
    with pytest.raises(SeqrlError):
        paper_updates(0, 256, 50)


def test_a_line_ends_at_zero_with_the_last_update():
    schedule = scaled_schedule("linear", 200, 64, BLOCK_SIZE, warmup_fraction=0.05)
    rates = [schedule.multiplier(step * 64 * BLOCK_SIZE) for step in (5, 10, 105, 200, 300)]
    assert rates == pytest.approx([0.5, 1.0, 0.5, 0.0, 0.0])
